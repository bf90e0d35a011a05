"""The rows of the benches on TREC, on tiny models: each teacher can answer what the row's methods want to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from text_cases import STUDENT, TASK, TEACHER, TRAIN

from kdzoo.benchmark.plan.grid import Cell, expand
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.recipe.load import Recipe, load
from kdzoo.testing import tiny_run
from kdzoo.testing.tiny import first_window

KINDS = {"cached", "frozen", "trainable"}  # the assistants of takd are runs of their own


def rows(bench: str) -> list[Any]:
    return [pytest.param(cell, id=f"{bench}, {cell.row}") for cell in expand(bench, seeds=[0]).cells]


def tiny(cell: Cell, out: Path) -> Recipe:
    """The row's methods, kind of teacher and optimizers, with tiny texts and models."""
    settings = cell.recipe.settings
    teachers = {
        name: {"use": spec["use"], "model": TEACHER} for name, spec in settings["teachers"].items() if spec["use"] in KINDS
    }
    learns = {name: spec for name, spec in settings["optimizers"].items() if name in {"student", *teachers}}
    methods = {label: dict(spec) for label, spec in settings["methods"].items()}
    if not teachers:
        methods = {label: spec for label, spec in methods.items() if label == "hard_label"}
    return load(
        {
            "task": TASK,
            "student": STUDENT,
            "teachers": teachers,
            "methods": methods,
            "optimizers": learns,
            "train": TRAIN,
            "runtime": {"out": str(out), "device": "cpu"},
        }
    )


@pytest.mark.parametrize("cell", [*rows("trec_minilm"), *rows("trec_minilm_layers")])
def test_a_row_takes_a_step(cell: Cell, tmp_path: Path) -> None:
    with tiny_run(tiny(cell, tmp_path)) as run:
        window = first_window(run)
        update_teacher(run, window)
        before = torch.cat([p.detach().flatten() for p in run.student.parameters()])
        train_step(run, window[0])
        after = torch.cat([p.detach().flatten() for p in run.student.parameters()])
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_what_is_cached_has_ten_seeds_and_what_asks_anew_has_three() -> None:
    seeds: dict[str, list[int]] = {}
    kinds: dict[str, set[str]] = {}
    for cell in expand("trec_minilm").cells:
        seeds.setdefault(cell.row, []).append(cell.seed)
        kinds[cell.row] = {spec["use"] for spec in cell.recipe.settings["teachers"].values()}
    assert {row: len(own) for row, own in seeds.items()} == {row: 10 if kinds[row] <= {"cached"} else 3 for row in seeds}
