"""What each run cost and how near its answers are to its teachers', from results on disk to means over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.benchmark.report.statistics import Summary, summarize

Values = Mapping[str, Any]
NAMES = {
    "parameters": "parameters",
    "inference_flops": "FLOPs a test sample",
    "training_flops": "training FLOPs",
    "teacher_forwards": "teacher forwards",
    "seconds": "wall seconds",
    "cpu_seconds": "CPU seconds of the steps",
    "samples_per_second": "samples/s in training",
    "peak_bytes": "peak memory, bytes",
}
"""Figures of a run, with the names that tables give them."""


def figures(values: Values) -> dict[str, float]:
    """The costs of one finished run; without those that its version of kdzoo did not measure."""
    cost = values.get("cost") or {}
    found = {
        "parameters": values["parameters"]["deployed"],
        "seconds": values["seconds"],
        **{name: cost[name] for name in NAMES if name in cost},
    }
    return {name: float(found[name]) for name in NAMES if found.get(name) is not None}


def mean_figures(results: Sequence[Values]) -> dict[str, float]:
    """Their means over the runs that have them."""
    return _means([figures(values) for values in results])


def fidelity(results: Sequence[Values]) -> dict[str, dict[str, Summary]]:
    """Teacher -> measure (such as agreement) -> summary over the runs."""
    found: dict[str, dict[str, list[float]]] = {}
    for values in results:
        for teacher, own in values["teachers"].items():
            for name, value in (own.get("fidelity") or {}).items():
                found.setdefault(teacher, {}).setdefault(name, []).append(value)
    return {teacher: {name: summarize(own) for name, own in measures.items()} for teacher, measures in found.items()}


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for own in found for name in own)
    means = {name: summarize([own[name] for own in found if name in own]).mean for name in names}
    return {name: mean for name, mean in means.items() if mean is not None}
