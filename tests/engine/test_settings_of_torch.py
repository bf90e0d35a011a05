"""What a script or notebook has told torch before a run changes no result, and is as it was afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.engine.launch import launch
from kdzoo.testing import tiny_recipe


@contextmanager
def told(setting: Callable[[Any], object], value: Any, before: Any) -> Iterator[None]:
    setting(value)
    try:
        yield
    finally:
        setting(before)


AROUND: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "float64": lambda: told(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": lambda: told(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "coarse products": lambda: told(torch.set_float32_matmul_precision, "medium", "highest"),
    "another device": lambda: told(torch.set_default_device, "meta", None),
    "no gradients": torch.no_grad,
    "gradients switched off": lambda: told(torch.set_grad_enabled, False, True),
    "inference": torch.inference_mode,
    "mixed precision": lambda: torch.autocast("cpu", torch.bfloat16),
    "another seed": lambda: told(torch.manual_seed, 99, 0),
}


def metrics(out: Path) -> Any:
    recipe = {"train": {"epochs": 1, "batch_size": 22}}
    return launch(tiny_recipe("hard_label", out=out, recipe=recipe), force=True).values["test"]


def state() -> Any:
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return metrics(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("around", AROUND)
def test_it_changes_no_result_and_stays_as_it_was(around: str, plain: Any, tmp_path: Path) -> None:
    with AROUND[around]():
        before = state()
        assert metrics(tmp_path) == plain
        assert state() == before
