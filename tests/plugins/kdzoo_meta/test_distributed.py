"""Two gloo processes move student and teacher as one process with the joined batch does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_worker import trained
from meta_cases import LOSSES, recipe

from kdzoo.engine.assemble import assemble
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.errors import CapabilityError
from kdzoo.recipe.load import Recipe

WORKER = Path(__file__).parent / "distributed_worker.py"
CLIPPED = {"inner": "student", "inner_clip": 0.05, "window": 2, "pilot": False}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "hints_clipped_adamw_window_ablation": ("features", CLIPPED, {}),
    "whole_batch": ("dist", {}, {}),
    "micro_batches_whole_quiz": ("kl", {"quiz_batch": 0}, {"accumulate": 2}),
}


def case(name: str) -> Recipe:
    losses, settings, extra = CASES[name]
    return recipe(
        "mlp",
        "kl",
        {"quiz_batch": 9, "alarm": 0.0, **settings},
        methods={"dist": {}} if losses == "dist" else LOSSES[losses],
        optimizers={"student": {"use": "adamw", "lr": 0.01}, "teacher": {"use": "sgd", "lr": 1.0}},
        train={"epochs": 1, "batch_size": 9, **extra},  # odd: the two parts differ in size
    )


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every case's recipe and what two processes made of it."""
    folder = tmp_path_factory.mktemp("two")
    for name in CASES:
        (folder / f"{name}.yaml").write_text(case(name).yaml())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(WORKER), str(folder)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", CASES)
def test_two_processes_equal_one(name: str, in_two: Path) -> None:
    _, one = trained(in_two / f"{name}.yaml")
    two = torch.load(in_two / f"{name}.pt", weights_only=True)
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-10, atol=1e-11, msg=lambda m, n=key: f"{n}: {m}")


def test_double_backward_is_refused_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def two(self: ProcessGroup, device: torch.device) -> None:
        self.size, self.rank, self.device = 2, 0, device

    monkeypatch.setattr(ProcessGroup, "__init__", two)
    with pytest.raises(CapabilityError, match=r"backend=double_backward runs in one process, here are 2; use backend=jvp"):
        assemble(recipe(settings={"backend": "double_backward"}).settings)
