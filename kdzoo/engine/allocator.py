"""Memory that a training step frees stays with the process, for the next step.

glibc gives large blocks back to the system as soon as they are free, and the same memory is asked for again a moment later: on
a CPU each step then pays a page fault for every 4 KiB of its activations, up to a third of its time. Other C libraries, and
devices with an allocator of their own, are left alone.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform

SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")
"""Environment variables by which a user sets glibc's allocator; where there is one, it holds."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
LARGEST = 2**31 - 1
LARGEST_IN_HEAP = 32 * 2**20
"""Bytes; glibc refuses a larger MMAP_THRESHOLD. Larger blocks are mapped, and unmapped, one by one as ever."""


@functools.cache
def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, until the process ends; whether it does so now."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SETTINGS):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_IN_HEAP) and mallopt(TRIM_THRESHOLD, LARGEST))


def give_back_freed_memory() -> None:
    """Give the system what is kept and not in use, so that what resides from now on is needed."""
    if keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)
