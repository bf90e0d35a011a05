"""What losses average over, and a micro-batch's share of it.

A term is a mean over a denominator that it names (`over`). Splitting an optimizer step over micro-batches or processes must not
change its gradient, so each micro-batch's mean is weighed by its share of the whole step's denominator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdzoo.engine.distributed import ProcessGroup
from kdzoo.errors import PluginError, did_you_mean
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import SAMPLES, Needs
from kdzoo.protocol.outputs import Batch
from kdzoo.protocol.task import Task

Counts = Mapping[str, float]


def counts_of(task: Task, batch: Batch) -> dict[str, float]:
    """The denominators of one batch, by name."""
    return {SAMPLES: batch.size, **task.counts(batch)}


def counts_over(task: Task, micros: Sequence[Batch], processes: ProcessGroup) -> dict[str, float]:
    """The denominators of an optimizer step over all its micro-batches and processes."""
    own = [counts_of(task, micro) for micro in micros]
    return {name: processes.total(sum(counts[name] for counts in own)) for name in sorted(own[0])}


def shares(methods: Mapping[str, Method], needs: Mapping[str, Needs], own: Counts, whole: Counts, processes: int) -> Shares:
    """Label -> term -> share of the step's denominator; a term that has nothing to average here is missing.

    A term over the joined batch of all processes is computed in each of them, so it counts 1/processes.
    """
    found: dict[str, dict[str, float]] = {}
    for label, method in methods.items():
        joined = needs[label].whole_batch
        names = {term: denominator(method, found_term.over, own) for term, found_term in method.kdzoo_terms.items()}
        found[label] = {
            term: 1.0 / processes if joined else own[name] / whole[name]
            for term, name in names.items()
            if joined or own[name] > 0
        }
    return found


Shares = Mapping[str, Mapping[str, float]]


def denominator(method: Method, over: str, counts: Counts) -> str:
    """The name under which a term's denominator stands: that of the head which the method reads, if it has one of its own.

    Raises PluginError where the task knows no such denominator.
    """
    name = f"{method.reads}.{over}" if method.reads and f"{method.reads}.{over}" in counts else over
    if name not in counts:
        raise PluginError(
            f"methods.{method.label} has a term over {over!r}, which the task does not count ({did_you_mean(over, counts)})."
        )
    return name
