"""Every law for every registered method, built in or installed beside."""

from __future__ import annotations

from typing import Any

from kdzoo import testing
from kdzoo.testing.tiny import TEACHER, registered

SHORT = {"use": "tiny_cnn", "widths": [4, 8]}
AS_WIDE = {"student": TEACHER}
MAPS = {"student": {"use": "class_maps", "base": SHORT}}
EXPANDED = {"student": {"use": "expanded", "base": SHORT, "width": 12, "copies": 2}}

# What a method needs in a tiny run, where its defaults are made for long runs, large sets or other models.
CONTRACTS: dict[str, dict[str, Any]] = {
    "ab": {"settings": {"boundary_epochs": 1}},
    "fitnets": {"settings": {"hint_epochs": 1}},
    "ft": {"settings": {"paraphraser_epochs": 1}, "fixed": frozenset({"rate"})},
    "ft_attention": {"settings": {"paraphraser_epochs": 1}, "fixed": frozenset({"rate"})},
    "sskd": {"settings": {"head_epochs": 1}},
    "cat_kd": {"recipe": MAPS},
    "cat_kd_unit": {"recipe": MAPS},
    "crd": {"settings": {"negatives": 8, "width": 8}},
    "fsp": {"settings": {"flow_epochs": 1, "student_taps": ["stages"], "teacher_taps": ["stages"]}, "recipe": AS_WIDE},
    "kdsvd": {"recipe": AS_WIDE},
    "norm": {"recipe": EXPANDED},
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
