"""kdzoo: one knowledge-distillation engine, a registry of methods, recipes, and fair comparisons.

`kdzoo.run` trains a recipe and `kdzoo.bench` compares many, as the command line does. What a plugin is written with stands
here too: `Method`, `Needs`, `Stage`, `term`, and the types that its hooks see. Everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdzoo.api import run as run
    from kdzoo.bench.runner import bench as bench
    from kdzoo.engine.results import Result as Result
    from kdzoo.engine.run import Run as Run
    from kdzoo.method import Method as Method
    from kdzoo.method import Needs as Needs
    from kdzoo.method import Stage as Stage
    from kdzoo.method import Transform as Transform
    from kdzoo.method import term as term
    from kdzoo.outputs import Batch as Batch
    from kdzoo.outputs import Output as Output
    from kdzoo.outputs import Pair as Pair
    from kdzoo.outputs import Rows as Rows
    from kdzoo.outputs import Step as Step
    from kdzoo.protocols import Task as Task
    from kdzoo.protocols import Teacher as Teacher
    from kdzoo.recipe.load import load as load
    from kdzoo.registry import register as register
    from kdzoo.schedules import Schedule as Schedule

_HOME = {
    "run": "kdzoo.api",
    "Result": "kdzoo.engine.results",
    "Run": "kdzoo.engine.run",
    "Method": "kdzoo.method",
    "Needs": "kdzoo.method",
    "Stage": "kdzoo.method",
    "Transform": "kdzoo.method",
    "term": "kdzoo.method",
    "Batch": "kdzoo.outputs",
    "Output": "kdzoo.outputs",
    "Pair": "kdzoo.outputs",
    "Rows": "kdzoo.outputs",
    "Step": "kdzoo.outputs",
    "Task": "kdzoo.protocols",
    "Teacher": "kdzoo.protocols",
    "load": "kdzoo.recipe.load",
    "register": "kdzoo.registry",
    "Schedule": "kdzoo.schedules",
}
__all__ = ["bench", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "bench":  # the package of that name can be called
        return importlib.import_module("kdzoo.bench")
    if name not in _HOME:
        raise AttributeError(f"module 'kdzoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
