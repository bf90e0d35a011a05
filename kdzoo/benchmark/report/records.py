"""What a bench has left on disk: its plan, and of each cell the result, the error, or nothing yet. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdzoo.benchmark.execute.failure import ERROR, recorded
from kdzoo.engine.files import mapping_in, read_json
from kdzoo.errors import RecipeError, no_such

FORMAT = 2
"""Of `plan.json`."""
READS = (1,)
"""Formats of a run's `result.json` that this version can read."""
PLAN = "plan.json"
DECLARED = "declared"
"""Label -> the identities of its rows whose comparison with the baseline was declared beforehand."""
PAGE = "report.html"
PAIR = "pair"
"""What a row's point calls its pair or data set; a path of the grid is called by itself."""


@dataclass(frozen=True)
class Record:
    """A cell as it is on disk.

    Attributes:
        values: its `result.json`, if it is finished; error: the sentence of its failure, if it failed; last: the last lines
            that it left then.
    """

    row: str
    seed: int
    identity: str
    folder: Path
    values: Mapping[str, Any] | None
    error: str | None
    last: tuple[str, ...] = ()

    def curve(self) -> list[tuple[int, dict[str, float]]]:
        """Epoch and metrics of each evaluation on validation."""
        return [(entry["epoch"], entry["validation"]) for entry in self.log() if entry["event"] == "epoch"]

    def log(self) -> list[dict[str, Any]]:
        """The run's log; lines that a kill cut short, or that are damaged, are left out."""
        try:
            lines = (self.folder / "metrics.jsonl").read_text(errors="replace").splitlines(keepends=True)
        except OSError:
            return []
        return [entry for line in lines if line.endswith("\n") and (entry := _entry(line)) is not None]


@dataclass(frozen=True)
class Records:
    """A bench's folder, read."""

    folder: Path
    plan: Mapping[str, Any]
    cells: Sequence[Record]
    teachers: Sequence[Mapping[str, Any]]

    @property
    def also(self) -> Sequence[str]:
        """Further metrics that the recipe wants to see."""
        return self.plan.get("also", ())

    def by_pair(self) -> list[Records]:
        """The same, a pair (or data set) each; itself where there are none."""
        rows = self.plan["rows"]
        parts = []
        for pair in dict.fromkeys(row["point"].get(PAIR) for row in rows):
            own = [row for row in rows if row["point"].get(PAIR) == pair]
            names = {row["row"] for row in own}
            cells = [cell for cell in self.cells if cell.row in names]
            parts.append(replace(self, plan={**self.plan, "rows": own}, cells=cells))
        return parts

    @property
    def done(self) -> list[Record]:
        """The finished cells."""
        return [cell for cell in self.cells if cell.values is not None]

    @property
    def environments(self) -> list[dict[str, Any]]:
        """Versions, machines and dates of the finished cells, each once."""
        found = [json.dumps(cell.values["environment"], sort_keys=True) for cell in self.done if cell.values]
        return [json.loads(text) for text in dict.fromkeys(found)]


def read_records(folder: Path) -> Records:
    """Read a bench's folder. Raises RecipeError if it is none."""
    plan = read_json(folder / PLAN)
    if plan is None:
        if not folder.exists():
            raise RecipeError(no_such(folder))
        raise RecipeError(f"{folder} is not the folder of a bench: it has no {PLAN}; give the folder that `kdzoo bench` named.")
    if plan.get("format") != FORMAT:
        raise RecipeError(f"{folder / PLAN} has format {plan.get('format')}, this kdzoo reads {FORMAT}: run the bench again.")
    teachers = [_result(folder / found["folder"], found["identity"]) for found in plan["teachers"]]
    return Records(
        folder, plan, [_record(folder, cell) for cell in plan["cells"]], [t for t in teachers if t and t.get("format") in READS]
    )


def _record(folder: Path, cell: Mapping[str, Any]) -> Record:
    own = folder / cell["folder"]
    values = _result(own, cell["identity"])
    error = None if values is None or values.get("format") in READS else refusal(values.get("format"))
    if error is not None:
        values = None
    elif values is None and (own / ERROR).is_file():
        error = (own / ERROR).read_text().partition("\n")[0]
    failure = recorded(own, cell["identity"]) if error is not None else None
    return Record(cell["row"], cell["seed"], cell["identity"], own, values, error, failure.last if failure else ())


def refusal(found: Any) -> str:
    """What is wrong with a result of another format; it is left as it is."""
    return f"its result has format {found}, this kdzoo reads {READS[-1]}: report on it with the kdzoo that wrote it."


def _result(folder: Path, identity: str) -> Mapping[str, Any] | None:
    """A result of this identity; one of other settings is not meant."""
    values = read_json(folder / "result.json")
    return values if values is not None and values.get("identity") == identity else None


def _entry(line: str) -> dict[str, Any] | None:
    found = mapping_in(line)
    return found if found is not None and "event" in found else None
