"""A run that stopped between an epoch's last window and the epoch's end goes on as an unbroken one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo.engine.launch import launch
from kdzoo.recipe.load import Recipe
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed


def recipe(out: Path) -> Recipe:
    sections = {"train": {"epochs": 4, "batch_size": 12, "evaluate_every": 2}, "task": {"data": "digits", "train_size": 44}}
    made = tiny_recipe("kd", out=out, recipe=sections)
    made.settings["runtime"]["checkpoint_every"] = 1
    return made


class EndOfEpoch:
    """A listener that ends the run at the first record of an evaluation, before the checkpoint that follows it."""

    def __call__(self, record: Mapping[str, Any]) -> None:
        if record["event"] == "epoch":
            raise Killed


def told(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in record.items() if key not in ("samples_per_second", "time")} for record in records]


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_the_epochs_end_is_that_of_its_own_epoch(tmp_path: Path) -> None:
    whole = launch(recipe(tmp_path / "whole"))
    broken = recipe(tmp_path / "broken")
    with pytest.raises(Killed):
        launch(broken, listeners=[EndOfEpoch()])
    resumed = launch(broken)
    assert told(resumed.folder) == told(whole.folder)
    assert resumed.values["validation"] == whole.values["validation"]
    assert [record["epoch"] for record in told(whole.folder) if record["event"] == "epoch"] == [2, 4]
