"""The laws for methods of this family that are not installed under their names; those that are, `tests/contract` tests."""

from typing import Any

from kdzoo import testing

from .conftest import NET, PENDING, WIDER

CONTRACTS: dict[str, dict[str, Any]] = {
    "byot": {"recipe": {"student": {"use": "tiny_cnn", "widths": [4, 6, 8]}}},
    "pad": {"recipe": {"student": WIDER}},
    "sdd": {"recipe": {"student": {"use": "class_maps", "base": NET}}},
}

for name in PENDING:
    globals()[f"Test_{name}"] = type(f"Test_{name}", (testing.MethodContract,), {"method": name, **CONTRACTS.get(name, {})})
