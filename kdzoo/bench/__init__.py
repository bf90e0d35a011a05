"""Many runs compared: rows x seeds of one recipe, the teacher trained once, and a report.

`kdzoo.bench(recipe)` is `kdzoo.bench.bench(recipe)`; `write_report(folder)` writes the report anew.
"""

import sys
from types import ModuleType

from kdzoo.bench.board import Leaderboard, Row
from kdzoo.bench.events import BenchStarted, CellDone, CellFailed, CellProgress, CellStarted, Event, OnEvent, TeacherDone
from kdzoo.bench.report import write_report
from kdzoo.bench.runner import bench

__all__ = [
    "BenchStarted",
    "CellDone",
    "CellFailed",
    "CellProgress",
    "CellStarted",
    "Event",
    "Leaderboard",
    "OnEvent",
    "Row",
    "TeacherDone",
    "bench",
    "write_report",
]


class _Callable(ModuleType):
    __call__ = staticmethod(bench)


sys.modules[__name__].__class__ = _Callable
