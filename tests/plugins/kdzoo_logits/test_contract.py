"""The laws for plugins of this family that are not installed under their names; those that are, `tests/contract` tests."""

from typing import Any

from kdzoo import testing

from .conftest import PENDING

CONTRACTS: dict[str, dict[str, Any]] = {"mean_teacher": {"recipe": {"teacher": {"use": "ema"}}}}
LAWS: dict[str, tuple[type, str]] = {
    "methods": (testing.MethodContract, "method"),
    "transforms": (testing.TransformContract, "transform"),
}

for kind, (law, attribute) in LAWS.items():
    for name in PENDING[kind]:
        globals()[f"Test_{name}"] = type(f"Test_{name}", (law,), {attribute: name, **CONTRACTS.get(name, {})})
