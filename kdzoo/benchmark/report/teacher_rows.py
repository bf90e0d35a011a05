"""The teachers' lines of the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kdzoo.benchmark.report.board import Row, further
from kdzoo.benchmark.report.records import Records
from kdzoo.benchmark.report.statistics import summarize

TEACHER = "teacher"
Tests = dict[int, Mapping[str, float]]
"""Seed -> metrics of a teacher on the test split."""


@dataclass(frozen=True)
class _Alike:
    """Rows whose teacher has the same results at each seed, and these."""

    rows: list[str]
    tests: Tests

    def agrees(self, tests: Tests, metric: str) -> bool:
        return all(self.tests.get(seed, test)[metric] == test[metric] for seed, test in tests.items())


def teacher_rows(records: Records, metric: str, also: Sequence[str]) -> list[Row]:
    """One row for each teacher of the cells; one that some rows moved, or answered otherwise, has a row for each result."""
    teachers = {key: _grouped(by_row, metric) for key, by_row in _teachers(records).items()}
    common = {
        key: groups[0] for key, groups in teachers.items() if len(groups[0].rows) > 1 or len(teachers) == len(groups) == 1
    }
    names = [name for name, _, _ in common]
    references = {own["parameters"]["deployed"]: own.get("reference") for own in records.teachers}
    board = []
    for key, groups in teachers.items():
        name, kind, parameters = key
        for group in groups:
            if group is common.get(key):
                label = name if names.count(name) == 1 else f"{name} ({kind}, {parameters:,} parameters)"
                row = _teacher(label, group.tests, parameters, metric, also)
                board.append(replace(row, published=references.get(parameters)))
            else:
                label = f"{name} of {', '.join(group.rows)}"
                board.append(_teacher(label, group.tests, parameters, metric, also, of=group.rows[0]))
    return board


def usual_teacher(records: Records, metric: str) -> tuple[list[str], dict[int, float]]:
    """The rows that learn from the one teacher which most have, as it is; and its metric by seed. Empty where there is none.

    A row of several teachers has none. One teacher for all seeds is known at those, too, that are not finished.
    """
    single: dict[str, Tests] = {}
    for cell in records.done:
        teachers = list((cell.values or {})["teachers"].values())
        if len(teachers) == 1:
            single.setdefault(cell.row, {})[cell.seed] = teachers[0]["test"]
    groups = _grouped(single, metric)
    if not groups or (len(groups) > 1 and len(groups[0].rows) == len(groups[1].rows)):
        return [], {}
    found = {seed: test[metric] for seed, test in groups[0].tests.items()}
    if len(set(found.values())) == 1:
        found = dict.fromkeys((cell.seed for cell in records.cells), next(iter(found.values())))
    return groups[0].rows, found


def _teachers(records: Records) -> dict[tuple[str, str, int], dict[str, Tests]]:
    """Name, kind and size of each teacher -> row -> its results; without finished cells those of the teachers' recipes."""
    found: dict[tuple[str, str, int], dict[str, Tests]] = {}
    for cell in records.done:
        for name, own in (cell.values or {})["teachers"].items():
            by_row = found.setdefault((name, own["kind"], own["parameters"]), {})
            by_row.setdefault(cell.row, {})[cell.seed] = own["test"]
    for own in records.teachers if not found else ():
        key = TEACHER, own["name"], own["parameters"]["deployed"]
        found[key] = {own["name"]: {own["seed"]: own["test"]["last"]}}
    return found


def _grouped(by_row: Mapping[str, Tests], metric: str) -> list[_Alike]:
    """Rows that found the same at each seed that they share; the largest group first."""
    groups: list[_Alike] = []
    for row, tests in by_row.items():
        group = next((group for group in groups if group.agrees(tests, metric)), None)
        if group is None:
            groups.append(group := _Alike([], {}))
        group.rows.append(row)
        group.tests.update({seed: test for seed, test in tests.items() if seed not in group.tests})
    return sorted(groups, key=lambda group: -len(group.rows))


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
