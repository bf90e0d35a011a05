"""Every golden case against the project, at three precisions.

The folder of the cases is `KDZOO_GOLDEN`, or the copy beside this file. Adapters (`adapters/<family>.py`, a dict `ADAPTERS`)
map a golden name to a function `case -> {"out.loss": ..., "grad.logit_s": ...}`. A name without one fails. Where the keys of a
file have no prefixes, the family's `OUTPUTS` says by patterns which of them are expected.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdzoo.recipe.load import load

from . import adapters
from .case import Case

Adapter = Callable[[Case], Mapping[str, Tensor]]

FOLDER = Path(os.environ.get("KDZOO_GOLDEN") or Path(__file__).parent / "data")
FILES = sorted(FOLDER.rglob("*.npz"))

# Outputs of the reference files that record another library's variant of the loss: not what the project computes.
LEFT_OUT = {
    "kd_torchdistill": {
        "loss_no_targets": "torchdistill drops T^2 when it is called without targets",
        "logit_s_no_targets": "its gradient",
    },
    "dist": {"loss_torchdistill": "eps as a floor instead of a summand"},
    "dkd": {"loss_mmrazor": "another library's copy of the same number"},
    "tfkd_self": {"loss_kd_fn": "the same repository's function without the multiplier"},
}

# Golden name -> (recipe, setting). The file's `weight` is the recipe's: its outputs are of the loss without it.
WEIGHTS: dict[str, tuple[str, str]] = {
    "at": ("cifar100/at", "methods.at.weights.at"),
    "cc": ("cifar100/cc", "methods.cc_neighbors.weights.cc"),
    "fitnet": ("cifar100/fitnets", "methods.fitnets_joint.weights.hint"),
    "ft_repdistiller": ("cifar100/ft", "methods.ft_attention.weights.ft"),
    "nst": ("cifar100/nst", "methods.nst.weights.nst"),
    "ofd": ("cifar100/ofd", "methods.ofd.weights.ofd"),
    "pkt": ("cifar100/pkt", "methods.pkt.weights.pkt"),
    "sp": ("cifar100/sp", "methods.sp.weights.sp"),
    "vid": ("cifar100/vid", "methods.vid.weights.vid"),
}

# (float64 rtol of values, of gradients) where the reference itself is no more exact, with the reason.
LOOSER: dict[str, tuple[float, float, str]] = {
    "calibration": (1e-6, 1e-6, "the best temperature is a flat optimum"),
    "ofd": (1e-6, 1e-6, "the reference computes its margins in float32"),
    "domiknows_library": (1e-6, 1e-6, "the reference runs in float32"),
    "kdsvd_mdistiller_fp32": (1e-4, 1e-4, "the reference runs in float32"),
}


def _tables(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."):
        found.update(getattr(importlib.import_module(module.name), name, {}))
    return found


ADAPTERS: dict[str, Adapter] = _tables("ADAPTERS")
OUTPUTS: dict[str, tuple[str, ...]] = _tables("OUTPUTS")


def _run(case: Case) -> dict[str, np.ndarray]:
    if case.name not in ADAPTERS:
        pytest.fail(f"no adapter for the golden name {case.name!r}: add one to tests/golden/adapters")
    given = {key: value.detach().double().numpy() for key, value in ADAPTERS[case.name](case).items()}
    unread = case.hyper.unread - ({"weight"} if case.name in WEIGHTS else set())
    assert not unread, f"the file's hyper-parameters {sorted(unread)} are not read: the case says nothing about them"
    wanted = {key for key in case.expected if key.split(".", 1)[1] not in LEFT_OUT.get(case.name, ())}
    assert given.keys() == wanted, f"not returned: {wanted - given.keys()}; not in the file: {given.keys() - wanted}"
    return given


def _case(path: Path, dtype: torch.dtype) -> Case:
    torch.manual_seed(0)
    return Case(path, dtype, OUTPUTS.get(path.stem.rpartition("_")[0], ()))


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_that_no_output_holds_is_the_recipes(name: str) -> None:
    recipe, setting = WEIGHTS[name]
    (path,) = FOLDER.rglob(f"{name}_a.npz")
    assert load(recipe).get(setting) == Case(path).hyper["weight"]


def test_an_adapter_that_reads_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = FOLDER.rglob("catkd_a.npz")
    monkeypatch.setitem(ADAPTERS, "catkd", lambda case: {key: torch.zeros(()) for key in case.expected})
    with pytest.raises(AssertionError, match=r"\['normalize', 'resolution'\] are not read"):
        _run(Case(path))


def test_the_cases_are_there() -> None:
    assert FILES, f"no .npz file below {FOLDER}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_float64_agrees_with_the_reference(path: Path) -> None:
    case = _case(path, torch.float64)
    value_rtol, grad_rtol, _ = LOOSER.get(case.name, (1e-9, 1e-7, ""))
    for key, value in _run(case).items():
        rtol, atol = (grad_rtol, 1e-11) if key.startswith("grad.") else (value_rtol, 1e-12)
        if case.name in LOOSER:
            atol = rtol * np.nanmax(np.abs(case.expected[key]))
        np.testing.assert_allclose(value.reshape(case.expected[key].shape), case.expected[key], rtol, atol, err_msg=key)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_float32_agrees_with_the_reference(path: Path) -> None:
    case = _case(path, torch.float32)
    for key, value in _run(case).items():
        # Relative to the largest entry: float32 rounding of a sum does not shrink with the entry.
        atol = 1e-6 + 1e-5 * np.nanmax(np.abs(case.expected[key]))
        np.testing.assert_allclose(value.reshape(case.expected[key].shape), case.expected[key], 1e-4, atol, err_msg=key)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_bfloat16_autocast_stays_finite_and_near(path: Path) -> None:
    case = _case(path, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = _run(case)
    for key, value in given.items():
        undefined = np.isnan(case.expected[key]).reshape(value.shape)  # an empty bin, say
        assert (np.isfinite(value) | undefined).all(), key
        if key.startswith("out."):
            # bfloat16 keeps 8 bits; the convolutions of a connector run in it, the losses do not.
            expected = case.expected[key]
            np.testing.assert_allclose(
                value.reshape(expected.shape), expected, 0.05, 0.05 * np.nanmax(np.abs(expected)), err_msg=key
            )
