"""Many runs compared: rows x seeds of one recipe, the teacher trained once, and a report.

`bench(recipe)`, which is `kdzoo.bench`, trains and compares; `write_report(folder)` writes the report anew.
"""

from kdzoo.benchmark.execute.events import (
    BenchStarted,
    CellDone,
    CellFailed,
    CellProgress,
    CellStarted,
    CohortStarted,
    Event,
    OnEvent,
    Said,
    TeacherDone,
)
from kdzoo.benchmark.execute.runner import bench
from kdzoo.benchmark.report.board import Row
from kdzoo.benchmark.report.leaderboard import Leaderboard
from kdzoo.benchmark.report.page import write_report

__all__ = [
    "BenchStarted",
    "CellDone",
    "CellFailed",
    "CellProgress",
    "CellStarted",
    "CohortStarted",
    "Event",
    "Leaderboard",
    "OnEvent",
    "Row",
    "Said",
    "TeacherDone",
    "bench",
    "write_report",
]
