"""The teachers' lines of the leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kdzoo.benchmark.report.board import Row, further
from kdzoo.benchmark.report.records import Records
from kdzoo.benchmark.report.statistics import summarize

TEACHER = "teacher"
Tests = dict[int, Mapping[str, float]]
"""Seed -> metrics of a teacher on the test split."""


def teacher_rows(records: Records, metric: str, also: Sequence[str]) -> list[Row]:
    """One row for each teacher of the cells; one that several rows moved has a row for each of them."""
    found: dict[tuple[str, str, int], dict[str, Tests]] = {}
    for cell in records.done:
        for name, own in (cell.values or {})["teachers"].items():
            by_row = found.setdefault((name, own["kind"], own["parameters"]), {})
            by_row.setdefault(cell.row, {})[cell.seed] = own["test"]
    for own in records.teachers if not found else ():
        key = TEACHER, own["name"], own["parameters"]["deployed"]
        found[key] = {own["name"]: {own["seed"]: own["test"]["last"]}}
    common = {key: _shared(by_row.values(), metric) for key, by_row in found.items() if len(by_row) > 1 or len(found) == 1}
    names = [name for (name, _, _), tests in common.items() if tests]
    references = {own["parameters"]["deployed"]: own.get("reference") for own in records.teachers}
    board = []
    for key, by_row in found.items():
        name, kind, parameters = key
        if tests := common.get(key):
            label = name if names.count(name) == 1 else f"{name} ({kind}, {parameters:,} parameters)"
            row = _teacher(label, tests, parameters, metric, also)
            board.append(replace(row, published=references.get(parameters)))
        else:
            board += [_teacher(f"{name} of {row}", own, parameters, metric, also, of=row) for row, own in by_row.items()]
    return board


def _shared(groups: Iterable[Tests], metric: str) -> Tests | None:
    """The results by seed, if all rows found the same at each."""
    shared: Tests = {}
    for tests in groups:
        for seed, test in tests.items():
            if shared.setdefault(seed, test)[metric] != test[metric]:
                return None
    return shared


def _teacher(label: str, tests: Tests, parameters: int, metric: str, also: Sequence[str], *, of: str | None = None) -> Row:
    if len({test[metric] for test in tests.values()}) == 1:
        tests = dict(list(tests.items())[:1])  # one teacher for all seeds, or as good as one
    values = {seed: test[metric] for seed, test in tests.items()}
    return Row(
        label=label,
        kind="teacher",
        expected=len(values),
        failed=0,
        values=values,
        last=summarize(list(values.values())),
        best=summarize([]),
        also=further(tests.values(), also),
        parameters=parameters,
        of=of,
    )
