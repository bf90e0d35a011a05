"""kdzoo: one knowledge-distillation engine, a registry of methods, recipes, and fair comparisons.

`kdzoo.run` trains a recipe and `kdzoo.bench` compares many, as the command line does. What a plugin is written with stands
here too: `Method`, `Needs`, `Stage`, `term`, and the types that its hooks see. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdzoo.analysis.analyses import analyze as analyze
    from kdzoo.api import run as run
    from kdzoo.benchmark.execute.runner import bench as bench
    from kdzoo.engine.results import Result as Result
    from kdzoo.finished_run import FinishedRun as FinishedRun
    from kdzoo.protocol.analysis import Analysis as Analysis
    from kdzoo.protocol.analysis import Findings as Findings
    from kdzoo.protocol.analysis import Measured as Measured
    from kdzoo.protocol.analysis import Table as Table
    from kdzoo.protocol.analysis import Wants as Wants
    from kdzoo.protocol.context import RunContext as RunContext
    from kdzoo.protocol.method import Method as Method
    from kdzoo.protocol.method import Transform as Transform
    from kdzoo.protocol.needs import Needs as Needs
    from kdzoo.protocol.needs import Stage as Stage
    from kdzoo.protocol.needs import Taps as Taps
    from kdzoo.protocol.needs import term as term
    from kdzoo.protocol.outputs import Batch as Batch
    from kdzoo.protocol.outputs import Output as Output
    from kdzoo.protocol.outputs import Pair as Pair
    from kdzoo.protocol.outputs import Rows as Rows
    from kdzoo.protocol.outputs import Step as Step
    from kdzoo.protocol.task import Task as Task
    from kdzoo.protocol.teacher import Teacher as Teacher
    from kdzoo.recipe.load import load as load
    from kdzoo.registry import register as register
    from kdzoo.schedules import Schedule as Schedule

_HOME = {
    "run": "kdzoo.api",
    "analyze": "kdzoo.analysis.analyses",
    "bench": "kdzoo.benchmark.execute.runner",
    "FinishedRun": "kdzoo.finished_run",
    "Result": "kdzoo.engine.results",
    "Analysis": "kdzoo.protocol.analysis",
    "Findings": "kdzoo.protocol.analysis",
    "Measured": "kdzoo.protocol.analysis",
    "Table": "kdzoo.protocol.analysis",
    "Wants": "kdzoo.protocol.analysis",
    "RunContext": "kdzoo.protocol.context",
    "Method": "kdzoo.protocol.method",
    "Needs": "kdzoo.protocol.needs",
    "Stage": "kdzoo.protocol.needs",
    "Taps": "kdzoo.protocol.needs",
    "Transform": "kdzoo.protocol.method",
    "term": "kdzoo.protocol.needs",
    "Batch": "kdzoo.protocol.outputs",
    "Output": "kdzoo.protocol.outputs",
    "Pair": "kdzoo.protocol.outputs",
    "Rows": "kdzoo.protocol.outputs",
    "Step": "kdzoo.protocol.outputs",
    "Task": "kdzoo.protocol.task",
    "Teacher": "kdzoo.protocol.teacher",
    "load": "kdzoo.recipe.load",
    "register": "kdzoo.registry",
    "Schedule": "kdzoo.schedules",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kdzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
