"""The laws of the protocol on those methods of this family that no entry point names; `tests/contract` has the others."""

from __future__ import annotations

from typing import Any

from meta_cases import OWN

from kdzoo.testing import MethodContract

SAME = {"use": "tiny_cnn", "widths": [4, 8]}
PLAIN = {"use": "trainable", "model": {"use": "mlp", "hidden": [12]}}
CONTRACTS: dict[str, dict[str, Any]] = {
    "teacher_fine_tuning": {"settings": {"quiz": 0.3}, "recipe": {"methods": {"kd": {}}}, "fixed": frozenset({"quiz"})},
    "lgtm": {"settings": {"quiz": 0.3}, "fixed": frozenset({"quiz"})},
    # No BatchNorm in a teacher that is in train mode: it would see each micro-batch by itself.
    "mpl": {
        "settings": {"quiz": 0.3, "ramp": 2, "threshold": 0.1},
        "recipe": {
            "teacher": PLAIN,
            "optimizers": {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "sgd", "lr": 0.05}},
        },
        "fixed": frozenset({"quiz"}),
    },
    "mpdistil": {
        "settings": {"quiz": 0.3},
        "recipe": {
            "teacher": {"use": "trainable", "model": SAME},
            "optimizers": {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "adamw", "lr": 0.01}},
        },
        "fixed": frozenset({"quiz", "clip"}),
    },
    "sftn": {"settings": {"student": SAME}, "recipe": {"student": {"use": "tiny_cnn", "widths": [6, 12]}}},
}

globals().update(
    {
        f"Test_{name}": type(f"Test_{name}", (MethodContract,), {"method": name, **settings})
        for name, settings in CONTRACTS.items()
        if ("methods", name) in OWN
    }
)
