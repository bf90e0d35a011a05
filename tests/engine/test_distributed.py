"""Two gloo processes end where one process with the joined batch does (models without BatchNorm, float64)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kdzoo.recipe.load import dump
from kdzoo.testing import tiny_recipe

WORKER = Path(__file__).parent / "distributed_worker.py"
MLP = {"use": "mlp", "hidden": [16, 12]}
METHODS: dict[str, dict[str, Any]] = {
    "kd": {},
    "dist": {},  # relates the whole batch
    "dml": {},  # two learners
    "ps_kd": {},  # a table keyed by sample
}


def recipe_of(method: str) -> dict[str, Any]:
    sections: dict[str, Any] = {
        "student": MLP,
        "train": {"epochs": 1, "batch_size": 9},  # odd: the two parts differ in size
        "task": {"data": "digits", "train_size": 45, "validation": 1000, "crop": 1},
    }
    if method in ("kd", "dist"):
        sections["teacher"] = {"use": "frozen", "model": {"use": "mlp", "hidden": [20]}}
    return tiny_recipe(method, METHODS[method], recipe=sections).settings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what one process and two processes make of each recipe."""
    folder = tmp_path_factory.mktemp("made")
    for method in METHODS:
        (folder / f"{method}.yaml").write_text(dump(recipe_of(method)))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    for launcher in ((), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")):
        command = [sys.executable, *launcher, str(WORKER), str(folder)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one(method: str, made: Path) -> None:
    one, two = (torch.load(made / f"{method}-{size}.pt", weights_only=True) for size in (1, 2))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")
