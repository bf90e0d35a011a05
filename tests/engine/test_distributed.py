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


def trained(recipe: Path, out: Path, processes: int) -> dict[str, torch.Tensor]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*(launcher if processes > 1 else [sys.executable]), str(WORKER), str(recipe), str(out)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights: dict[str, torch.Tensor] = torch.load(out, weights_only=True)
    return weights


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_equal_one(method: str, tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "student": MLP,
        "train": {"epochs": 1, "batch_size": 9},  # odd: the two parts differ in size
        "task": {"data": "digits", "train_size": 45, "validation": 1000, "crop": 1},
    }
    if method in ("kd", "dist"):
        sections["teacher"] = {"use": "frozen", "model": {"use": "mlp", "hidden": [20]}}
    path = tmp_path / "recipe.yaml"
    path.write_text(dump(tiny_recipe(method, METHODS[method], recipe=sections).settings))
    one, two = trained(path, tmp_path / "one.pt", 1), trained(path, tmp_path / "two.pt", 2)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")
