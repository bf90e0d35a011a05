"""Whether the rows of a bench can be compared: differing budgets and data are said, whoever they favor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdzoo.benchmark.report.records import Record, Records
from kdzoo.errors import did_you_mean
from kdzoo.recipe.paths import USE, parent, within

ABSENT = "absent"


def notes(records: Records) -> list[str]:
    """The recipe's notes, how much data teacher and students saw, what seeds vary, and which metrics were asked for in vain."""
    return [*data_notes(records), *_varied(records), *records.plan["notes"], *_unknown_metrics(records)]


def _varied(records: Records) -> list[str]:
    paths = records.plan.get("varied", ())
    said = f"Seeds vary initialization, order and augmentation, and {', '.join(paths)}: the intervals over seeds contain that."
    return [said] if paths else []


def _unknown_metrics(records: Records) -> list[str]:
    known = next((list(cell.values["test"]["last"]) for cell in records.done if cell.values), None)
    strange = [] if known is None else [name for name in records.also if name not in known]
    return [f"bench.also: there is no metric {name!r}; {did_you_mean(name, known or [])}" for name in strange]


def data_notes(records: Records) -> list[str]:
    """One sentence for each recipe-trained teacher that saw another number of training samples than the students."""
    found = {_train_size(cell.values) for cell in records.done if cell.values}
    students = sorted(size for size in found if size is not None)
    said = []
    for teacher in records.teachers:
        size = _train_size(teacher)
        if size is None or not students or students == [size]:
            continue
        more = size > students[-1]
        said.append(
            f"The teacher was trained on {size:,} samples, the students on {_ranged(students)}"
            + (": part of what distillation brings here is the teacher's larger training set." if more else ".")
        )
    return list(dict.fromkeys(said))


def warnings(records: Records) -> list[str]:
    """One sentence for each thing that the rows do not share, of those that every comparison should hold equal.

    Rows are compared with those at the same values of the grid, so what only the grid makes differ is no inequality.
    """
    points: dict[str, list[Mapping[str, Any]]] = {}
    for row in records.plan["rows"]:
        points.setdefault(json.dumps(row["point"], sort_keys=True, default=str), []).append(row)
    said = [sentence for rows in points.values() for sentence in _unequal(rows, records.cells)]
    if len({tuple(sorted({**found["versions"], "": found["device"]}.items())) for found in records.environments}) > 1:
        said.append("The cells were trained on different machines or with different versions, which are listed below.")
    return said


def _seen(row: str, cells: Sequence[Record]) -> dict[str, Any]:
    """What only a finished run tells: its number of training samples, and the epochs of earlier stages."""
    done = next((cell for cell in cells if cell.row == row and cell.values), None)
    if done is None or done.values is None:
        return {}
    earlier: dict[str, int] = {}
    for entry in done.log():
        if entry["event"] == "step" and entry["stage"] != "main":
            earlier[entry["stage"]] = max(earlier.get(entry["stage"], 0), entry["epoch"] + 1)
    found = {"training samples": _train_size(done.values), "epochs before the main stage": sum(earlier.values())}
    protocol = done.values.get("protocol")
    return found if protocol is None else {**found, "the plugin protocol's version": protocol}


def _unequal(rows: Sequence[Mapping[str, Any]], cells: Sequence[Record]) -> Iterator[str]:
    """What rows at one point differ in; of plugins that differ the name alone, as each has its own settings."""
    paths = dict.fromkeys(path for row in rows for path in row["budget"] if path not in row["point"])
    given = [(row["row"], {path: row["budget"].get(path, ABSENT) for path in paths} | _seen(row["row"], cells)) for row in rows]
    found: dict[str, dict[str, list[str]]] = {}
    for label, values in given:
        for path, value in values.items():
            found.setdefault(path, {}).setdefault(str(value), []).append(label)
    differing = {path: by_value for path, by_value in found.items() if len(by_value) > 1}
    plugins = [parent(path) for path in differing if path.endswith(f".{USE}")]
    for path, by_value in differing.items():
        if path.endswith(f".{USE}") or not any(within(path, plugin) for plugin in plugins):
            yield _said(path, by_value)


def _said(path: str, rows: Mapping[str, Sequence[str]]) -> str:
    usual = max(rows, key=lambda value: len(rows[value]))
    others = "; ".join(f"{value} for {', '.join(labels)}" for value, labels in rows.items() if value != usual)
    return f"The rows differ in {path}: {usual} for most, {others}."


def _train_size(values: Mapping[str, Any]) -> int | None:
    size = values["data"].get("sizes", {}).get("train")
    return None if size is None else int(size)


def _ranged(sizes: Sequence[int]) -> str:
    return f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
