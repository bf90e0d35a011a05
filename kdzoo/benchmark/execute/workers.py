"""How many processes a bench may start here."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def default_workers(*, threads: int, on_gpu: bool, gpus: int = 0) -> int:
    """One process a core (or for every `threads` cores), or one a GPU.

    Args: on_gpu: whether runs go to a GPU; gpus: how many there are to be dealt out, 0 where the recipe names one itself.
    """
    return max(gpus, 1) if on_gpu else max(usable_cores() // threads, 1)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    import torch

    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    count = torch.cuda.device_count()
    return named[:count] if named else [str(number) for number in range(count)]


def usable_cores() -> int:
    """Cores that this process may use: its affinity and, in a container, its share of the CPU's time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()
        return max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):  # not in a container, or not limited
        return cores
