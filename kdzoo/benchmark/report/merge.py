"""Folders of benches, from several machines or of several pairs, as one: every run once, by its identity."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdzoo import digests
from kdzoo.benchmark.report.leaderboard import Leaderboard
from kdzoo.benchmark.report.page import write_report
from kdzoo.benchmark.report.records import DECLARED, FORMAT, PAIR, PLAN, Record, Records, read_records
from kdzoo.engine.files import locked, write_json
from kdzoo.errors import RecipeError, did_you_mean

MERGED = "merged"
RENAME = (
    "settings, data or code differ. Rename the row in one recipe, or leave out a folder. If they are of different pairs or "
    "data sets, name these, as in `kdzoo leaderboard NAME=FOLDER NAME=FOLDER`."
)


def leaderboard_of(folders: Sequence[str | Path], out: str | Path, *, baseline: str | None = None) -> Leaderboard:
    """Write the report of all runs of these benches to the folder `out`; the runs stay where they are.

    A run that stands in several folders counts once. Rows of one name must be the same but for their seeds.
    Folders of several pairs (or data sets) are given as `NAME=FOLDER`: their rows are compared by pair, and ranked over them.

    Args: baseline: the row that the others are compared with; default the first folder's.

    Raises RecipeError: a folder that is no bench's, rows that contradict each other, results of another protocol or metric.
    """
    places = dict.fromkeys(map(named, folders))
    out = Path(out)
    if out.resolve() in {place.resolve() for _, place in places} or _is_bench(out):
        raise RecipeError(f"{out} is the folder of a bench, whose report would be overwritten; give another one by --out.")
    if len({name is None for name, _ in places}) > 1:
        raise RecipeError("either all folders have the name of their pair, as in NAME=FOLDER, or none.")
    found = [_of_pair(read_records(place), name) for name, place in places]
    for records in found:
        _check(records)
    plan = _merged(found, out, baseline)
    with locked(out):
        write_json(out / PLAN, plan)
        return write_report(out)


def named(folder: str | Path) -> tuple[str | None, Path]:
    """The name of a pair, and the folder; a folder that is there is no NAME=FOLDER, whatever it is called."""
    name, sign, place = str(folder).partition("=")
    return (name, Path(place)) if sign and name.strip() and not Path(folder).exists() else (None, Path(folder))


def _of_pair(records: Records, name: str | None) -> Records:
    """The same with all rows at a pair of this name, beside the pair that they may have had."""
    if name is None:
        return records
    rows, called = [], dict[str, str]()
    for row in records.plan["rows"]:
        pair = ", ".join([name, *([row["point"][PAIR]] if PAIR in row["point"] else [])])
        rest = row["row"].removeprefix(row["label"]).replace(f", {row['point'].get(PAIR)}", "", 1)
        called[row["row"]] = f"{row['label']}, {pair}{rest}"
        rows.append(
            {**row, "row": called[row["row"]], "point": {PAIR: pair, **{k: v for k, v in row["point"].items() if k != PAIR}}}
        )
    cells = [replace(cell, row=called[cell.row]) for cell in records.cells]
    return replace(records, plan={**records.plan, "rows": rows}, cells=cells)


def _is_bench(out: Path) -> bool:
    return (out / PLAN).is_file() and MERGED not in read_records(out).plan


def _check(records: Records) -> None:
    """Refuse results that were computed by other rules than this kdzoo's."""
    from kdzoo import registry

    for cell in records.done:
        theirs = (cell.values or {}).get("protocol", registry.PROTOCOL)
        if theirs != registry.PROTOCOL:
            raise RecipeError(
                f"{cell.folder / 'result.json'} is of protocol {theirs}, this kdzoo of {registry.PROTOCOL}: results of both "
                "cannot stand in one table. Run that bench again, or leave its folder out."
            )


def _merged(found: Sequence[Records], out: Path, baseline: str | None) -> dict[str, Any]:
    """The plan of a bench that has all of these runs, at their places as seen from `out`."""
    rows = _rows(found)
    cells, renamed = _cells(found)
    teachers: dict[str, dict[str, Any]] = {}
    for records in found:
        for teacher in records.plan["teachers"]:
            where = records.folder / teacher["folder"]
            if teacher["identity"] not in teachers or (where / "result.json").is_file():
                teachers[teacher["identity"]] = {**teacher, "folder": _seen(where, out)}
    first = found[0].plan
    present = {cell.row for cell in cells}
    chosen = baseline or first["baseline"]
    _check_baseline(chosen, rows, present)
    names = list(dict.fromkeys(records.plan["name"] for records in found))
    return {
        **first,
        "format": FORMAT,
        "name": " + ".join(names),
        "identity": digests.of_text(" ".join(sorted(cell.identity for cell in cells)))[: digests.SHORT],
        "command": "",
        "baseline": chosen,
        DECLARED: _declared([records.plan for records in found], chosen),
        "also": _once(name for records in found for name in records.plan.get("also", ())),
        "notes": [
            *_once(note for records in found for note in records.plan.get("notes", ())),
            *(f"{row} has the same runs as {other}, and stands in its row." for row, other in renamed.items()),
            f"Merged from {len(found)} folders of benches; the recipe shown is the first one's.",
        ],
        "rows": [row for name, row in rows.items() if name in present],
        "cells": [{"row": c.row, "seed": c.seed, "identity": c.identity, "folder": _seen(c.folder, out)} for c in cells],
        "teachers": list(teachers.values()),
        MERGED: [_seen(records.folder, out) for records in found],
    }


def _rows(found: Sequence[Records]) -> dict[str, Mapping[str, Any]]:
    """The rows by name; of one name they must be of the same settings, data and code, but for the seeds."""
    rows: dict[str, tuple[Mapping[str, Any], Path]] = {}
    for records in found:
        for row in records.plan["rows"]:
            known, folder = rows.setdefault(row["row"], (row, records.folder))
            if known["identity"] != row["identity"]:
                raise RecipeError(
                    f"{row['row']} in {folder} and {row['row']} in {records.folder} differ in more than the seed: {RENAME}"
                )
    return {name: row for name, (row, _) in rows.items()}


def _cells(found: Sequence[Records]) -> tuple[list[Record], dict[str, str]]:
    """Every run once, as far as any folder has got with it; and rows whose runs are all those of another row, with that."""
    cells: dict[str, Record] = {}
    places: dict[tuple[str, int], Record] = {}
    renamed: dict[str, str] = {}
    for cell in (cell for records in found for cell in records.cells):
        other = places.setdefault((cell.row, cell.seed), cell)
        if other.identity != cell.identity:
            raise RecipeError(
                f"{cell.row}, seed {cell.seed} is run {other.identity} in {other.folder} and run {cell.identity} in "
                f"{cell.folder}: {RENAME}"
            )
        known = cells.setdefault(cell.identity, cell)
        if _progress(cell) > _progress(known):
            cells[cell.identity] = replace(cell, row=known.row, seed=known.seed)
        if cell.row != known.row:
            renamed[cell.row] = known.row
    present = {cell.row for cell in cells.values()}
    return list(cells.values()), {row: other for row, other in renamed.items() if row not in present}


def _progress(cell: Record) -> int:
    """A finished run tells more than a failed one, and that more than one that was not tried."""
    return 2 if cell.values is not None else 1 if cell.error is not None else 0


def _check_baseline(chosen: str, rows: Mapping[str, Mapping[str, Any]], present: Collection[str]) -> None:
    """Refuse a baseline that some pair lacks, and a pair all of whose runs are another's."""
    labels: dict[str | None, set[str]] = {row["point"].get(PAIR): set() for row in rows.values()}
    if None in labels and len(labels) > 1:
        unpaired, paired = (
            next(name for name, row in rows.items() if (row["point"].get(PAIR) is None) is alone) for alone in (True, False)
        )
        raise RecipeError(
            f"some rows have a pair, as {paired!r}, and some have none, as {unpaired!r}: give the folder of these the name of "
            "its pair, as in NAME=FOLDER."
        )
    for name in present:
        labels[rows[name]["point"].get(PAIR)].add(rows[name]["label"])
    for pair, own in labels.items():
        if not own:
            raise RecipeError(f"all runs of {pair} are runs of another pair, too: give each pair a folder of its own.")
        if chosen not in own:
            where = "" if pair is None else f" of {pair}"
            raise RecipeError(f"there is no row {chosen!r}{where} to compare with; {did_you_mean(chosen, own)}")


def _declared(plans: Sequence[Mapping[str, Any]], baseline: str) -> dict[str, list[str]]:
    """What every plan that has the row declared of comparisons with this baseline."""
    found: dict[str, list[str]] = {}
    for plan in plans:
        for label, identities in plan.get(DECLARED, {}).items():
            own = [each for each in identities if all(_says(other, label, each, baseline) for other in plans)]
            found[label] = sorted({*found.get(label, ()), *own})
    return found


def _says(plan: Mapping[str, Any], label: str, identity: str, baseline: str) -> bool:
    if all(row["identity"] != identity for row in plan["rows"]):
        return True
    return plan["baseline"] == baseline and identity in plan.get(DECLARED, {}).get(label, ())


def _once(things: Any) -> list[Any]:
    return list(dict.fromkeys(things))


def _seen(place: Path, out: Path) -> str:
    return Path(os.path.relpath(place.resolve(), out.resolve())).as_posix()
