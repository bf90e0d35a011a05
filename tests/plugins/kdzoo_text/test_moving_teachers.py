"""Teachers that move, on transformers with fused attention: the meta-gradient is exact, and each method trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from text_cases import TEACHER, TEXT
from torch import Tensor

from kdzoo.engine.launch import launch
from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import Batch
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

MOVED: dict[str, Any] = {
    **TEXT,
    "teacher": {"use": "trainable", "model": {**TEACHER, "dropout": 0.0}},
    "optimizers": {"student": {"use": "adamw", "lr": 0.01}, "teacher": {"use": "adamw", "lr": 0.01}},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "metadistil": {"quiz": 0.3, "inner_lr": 0.1, "quiz_mode": "eval"},
    "prokt": {},
    "lgtm": {"quiz": 0.3},
}


def meta_gradient(backend: str) -> dict[str, Tensor]:
    """The teacher's gradient of the first step."""
    recipe = {**MOVED, "methods": {"kd": {"temperature": 2}}, "train": {"epochs": 1, "batch_size": 12}}
    with tiny_run(tiny_recipe("metadistil", {**SETTINGS["metadistil"], "backend": backend}, recipe=recipe)) as run:
        window: list[Batch] = first_window(run)
        method: Any = run.methods["metadistil"]
        method.meta_gradient(window, run)
        return _gradients(run)


def _gradients(run: Run) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in run.model("teacher").named_parameters() if p.grad is not None}


def test_the_meta_gradient_through_attention_is_that_of_double_backward() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        exact, fast = meta_gradient("double_backward"), meta_gradient("jvp")
    finally:
        torch.set_default_dtype(torch.float32)
    scale = max(value.abs().max() for value in exact.values())
    assert scale > 0
    assert fast.keys() == exact.keys()
    for name, value in exact.items():
        assert (fast[name] - value).abs().max() <= 1e-9 * scale, name


@pytest.mark.parametrize("method", SETTINGS)
def test_it_trains_and_moves_its_teacher(method: str, tmp_path: Path) -> None:
    methods = {"kd": {"temperature": 2}} if method == "metadistil" else {}
    result = launch(tiny_recipe(method, SETTINGS[method], recipe={**MOVED, "methods": methods}, out=tmp_path))
    assert result.values["teachers"]["teacher"]["kind"] == "trainable"
    assert 0 <= result.metric <= 100
