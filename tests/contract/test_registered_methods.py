"""Every law for every registered method, built in or installed beside."""

from __future__ import annotations

from typing import Any

from kdzoo import testing
from kdzoo.testing.tiny import TEACHER, registered

# What a method needs in a tiny run, where its defaults are made for long runs or large sets: attributes of its contract.
WIDE_AS_TEACHER = {"student": TEACHER}
CONTRACTS: dict[str, dict[str, Any]] = {
    "crd": {"settings": {"negatives": 8, "width": 8}},
    "ft": {"fixed": frozenset({"rate"})},
    "ft_attention": {"fixed": frozenset({"rate"})},
    "kdsvd": {"recipe": WIDE_AS_TEACHER},
    "prokt_dual": {"fixed": frozenset({"start"})},
    "vid": {"fixed": frozenset({"initial_variance"})},
}


def _contract(name: str) -> type:
    return type(f"Test_{name}", (testing.MethodContract,), {"method": name, **CONTRACTS.get(name, {})})


globals().update({f"Test_{name}": _contract(name) for name in registered("methods")})


class TestStandardize(testing.TransformContract):
    transform = "standardize"


class TestSmooth(testing.TransformContract):
    transform = "smooth"
    slot = "targets"


class TestSmoothOffLabel(testing.TransformContract):
    transform = "smooth_off_label"
    slot = "targets"
