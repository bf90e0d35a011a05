"""Work inside a training step that is not the step's: it is done once, for all runs, and its cost is nobody's.

So a cached teacher asks about all samples when the first answer is wanted; neither that step nor the runs which share
its answer cost that much.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_inside = False
_seconds = 0.0


@contextmanager
def apart() -> Iterator[None]:
    """Neither time, operations nor forwards in this block are counted."""
    global _inside, _seconds
    if _inside:
        yield
        return
    started, _inside = time.process_time(), True
    try:
        yield
    finally:
        _inside = False
        _seconds += time.process_time() - started


def is_apart() -> bool:
    """Whether what is done now is not to be counted."""
    return _inside


def cpu_time() -> float:
    """Seconds of CPU time of this process, without what was apart."""
    return time.process_time() - _seconds
