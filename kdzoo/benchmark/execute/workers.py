"""How many processes a bench may start here."""

from __future__ import annotations

import os
from pathlib import Path

from kdzoo.registry.entries import IN_PROCESS, LOCAL

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def default_workers(*, threads: int, on_gpu: bool) -> int:
    """One process a core (or for every `threads` cores); one only where they would share a GPU, or lack a plugin.

    Plugins that were registered in this process are in no other one.
    """
    if on_gpu or any(entry.distribution == IN_PROCESS for entry in LOCAL):
        return 1
    return max(usable_cores() // threads, 1)


def usable_cores() -> int:
    """Cores that this process may use: its affinity and, in a container, its share of the CPU's time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()
        return max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):  # not in a container, or not limited
        return cores
