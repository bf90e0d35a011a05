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
from meta_cases import recipe

from kdzoo.errors import CapabilityError

WORKER = Path(__file__).parent / "distributed_worker.py"
CLIPPED = {"inner": "student", "inner_clip": 0.05, "window": 2, "pilot": False}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "hints_clipped_adamw_window_ablation": ("features", CLIPPED, {}),
    "whole_batch": ("dist", {}, {}),
    "micro_batches_whole_quiz": ("kl", {"quiz_batch": 0}, {"accumulate": 2}),
}
SLOW = {"micro_batches_whole_quiz"}


def in_two(path: Path, out: Path) -> dict[str, torch.Tensor]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run([*command, str(WORKER), str(path), str(out)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights: dict[str, torch.Tensor] = torch.load(out, weights_only=True)
    return weights


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES])
def test_two_processes_equal_one(case: str, tmp_path: Path) -> None:
    losses, settings, extra = CASES[case]
    made = recipe(
        "mlp",
        "kl" if losses == "dist" else losses,
        {"quiz_batch": 9, "alarm": 0.0, **settings},
        **({"methods": {"dist": {}}} if losses == "dist" else {}),
        optimizers={"student": {"use": "adamw", "lr": 0.01}, "teacher": {"use": "sgd", "lr": 1.0}},
        train={"epochs": 1, "batch_size": 9, **extra},  # odd: the two parts differ in size
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(made.yaml())
    _, one = trained(path)
    two = in_two(path, tmp_path / "two.pt")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-10, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")


def test_double_backward_is_refused_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from kdzoo.engine.assemble import assemble
    from kdzoo.engine.distributed import World

    def two(self: World, device: torch.device) -> None:
        self.size, self.rank, self.device = 2, 0, device

    monkeypatch.setattr(World, "__init__", two)
    with pytest.raises(CapabilityError, match=r"backend=double_backward runs in one process, here are 2; use backend=jvp"):
        assemble(recipe(settings={"backend": "double_backward"}).settings)
