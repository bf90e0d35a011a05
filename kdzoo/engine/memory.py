"""How much memory there is, and how much a run keeps between its turns."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from kdzoo.engine.run import Run

GROUP = Path("/sys/fs/cgroup")
OPTIMIZED = 4
"""Numbers that a trained number takes: itself, its gradient, and the two averages of Adam, the hungriest usual optimizer."""


def free(device: torch.device) -> int | None:
    """Bytes that can be had on a device now; None where nobody says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [value for value in (_of_the_machine(), _of_the_group()) if value is not None]
    return min(found) if found else None


def kept(run: Run) -> int:
    """Bytes that a run holds while others train: its learners, methods and own teachers, with their optimizers' state."""
    teachers = [teacher for teacher in run.teachers.values() if not teacher.frozen]
    modules: list[nn.Module] = [*run.learners.values(), *run.methods.values(), *teachers]
    trained = sum(p.numel() * p.element_size() for module in modules for p in module.parameters())
    return OPTIMIZED * trained + sum(b.numel() * b.element_size() for module in modules for b in module.buffers())


def _of_the_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if found is None else int(found) * 1024


def _of_the_group() -> int | None:
    """What a container's limit leaves; pages of files that it has read can be had back."""
    try:
        limit, used = (GROUP / "memory.max").read_text().strip(), (GROUP / "memory.current").read_text()
        lines = (GROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    cache = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return None if limit == "max" else max(int(limit) - int(used) + cache, 0)
