"""The same promises on a CUDA device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdzoo import testing
from kdzoo.engine.feed import Feed
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.training_step import train_step
from kdzoo.testing.laws.helpers import Killed, Killer
from kdzoo.testing.tiny import registered

from ..contract.test_registered_methods import CONTRACTS, OF_OTHER_TASKS

RUNTIME = {"device": "cuda", "log_every": 1}
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def recipe(method: str, out: Path, **train: Any) -> Any:
    sections = {"runtime": {**RUNTIME, "out": str(out)}, "train": {"epochs": 2, "batch_size": 12, **train}}
    settings = {"negatives": 8, "width": 8} if method == "crd" else {}
    return testing.tiny_recipe(method, settings, recipe=sections)


def contract(name: str) -> type:
    """All laws of a registered method, on the GPU."""
    own = dict(CONTRACTS.get(name, {}))
    own["recipe"] = {**own.get("recipe", {}), "runtime": RUNTIME}
    return type(f"Test_{name}", (testing.MethodContract,), {"method": name, **own})


globals().update({f"Test_{name}": contract(name) for name in registered("methods") if name not in OF_OTHER_TASKS})


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("method", ["kd", "crd"])
def test_a_killed_run_resumes(method: str, precision: str, tmp_path: Path) -> None:
    whole = launch(recipe(method, tmp_path / "whole", precision=precision, deterministic=True))
    broken = recipe(method, tmp_path / "broken", precision=precision, deterministic=True)
    broken.settings["runtime"]["checkpoint_every"] = 1
    with pytest.raises(Killed):
        launch(broken, listeners=[Killer(5)])
    a, b = (load_file(folder / DEPLOYED) for folder in (whole.folder, launch(broken).folder))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_compiled_training_is_close_to_eager(tmp_path: Path) -> None:
    eager = load_file(launch(recipe("kd", tmp_path / "eager")).folder / DEPLOYED)
    compiled = load_file(launch(recipe("kd", tmp_path / "compiled", compile=True)).folder / DEPLOYED)
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-2, atol=1e-3)


def test_the_ordinary_step_never_waits_for_the_device(tmp_path: Path) -> None:
    with testing.tiny_run(recipe("kd", tmp_path)) as run:
        windows = Feed(run).windows(0, start=0, size=1)
        (first,) = next(windows)
        train_step(run, first)
        torch.cuda.set_sync_debug_mode("error")
        try:
            (second,) = next(windows)
            train_step(run, second)
        finally:
            torch.cuda.set_sync_debug_mode("default")
