"""The laws for plugins of this family that are not installed under their names; those that are, `tests/contract` tests."""

from collections.abc import Iterator
from typing import Any

import pytest
from kdzoo_logits.cs_kd import CSKD
from kdzoo_logits.hard_distillation import HardDistillation
from kdzoo_logits.mean_teacher import MeanTeacher
from kdzoo_logits.noisy_teacher import NoisyTeacher
from kdzoo_logits.probability_shift import ProbabilityShift
from kdzoo_logits.skd import SKD

from kdzoo import registry, testing
from kdzoo.registry.entries import LOCAL

PLUGINS: dict[str, dict[str, type]] = {
    "methods": {"cs_kd": CSKD, "hard_distillation": HardDistillation, "mean_teacher": MeanTeacher, "skd": SKD},
    "transforms": {"noisy_teacher": NoisyTeacher, "probability_shift": ProbabilityShift},
}
PENDING = {kind: {n: p for n, p in named.items() if n not in registry.discover(kind)} for kind, named in PLUGINS.items()}
CONTRACTS: dict[str, dict[str, Any]] = {"mean_teacher": {"recipe": {"teacher": {"use": "ema"}}}}
LAWS: dict[str, tuple[type, str]] = {
    "methods": (testing.MethodContract, "method"),
    "transforms": (testing.TransformContract, "transform"),
}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """The plugins under their names for the length of a test."""
    before = dict(LOCAL)
    for kind, named in PENDING.items():
        for name, plugin in named.items():
            registry.register(kind, name, plugin)
    yield
    LOCAL.clear()
    LOCAL.update(before)


for kind, (law, attribute) in LAWS.items():
    for name in PENDING[kind]:
        globals()[f"Test_{name}"] = type(f"Test_{name}", (law,), {attribute: name, **CONTRACTS.get(name, {})})
