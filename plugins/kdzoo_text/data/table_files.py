"""Tables of texts: CSV, TSV and JSON lines with named columns."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kdzoo.errors import RecipeError, did_you_mean

ENDINGS = (".csv", ".tsv", ".jsonl", ".json")
CUT: Any = object()
"""What a line that ends early has in its last cells."""
EXCESS = None
"""The key of what a line has beyond the header; no column can be called so."""
STEMS = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}


def find(folder: Path) -> dict[str, Path]:
    """part -> its file in a folder."""
    names = {part: [stem + end for stem in stems for end in ENDINGS] for part, stems in STEMS.items()}
    found = {part: next((folder / name for name in own if (folder / name).is_file()), None) for part, own in names.items()}
    return {part: file for part, file in found.items() if file is not None}


def read(file: Path, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """The named columns of each row, as texts. Raises RecipeError: a column that is not there, or a line that is damaged."""
    rows = []
    for number, row in _rows(file, quotes=True):
        if row.get(EXCESS) is not None:
            more = len(row) - 1 + len(row[EXCESS])
            raise RecipeError(
                f"{file}, line {number} has {more} cells, the header {len(row) - 1}: put texts that hold a "
                f"{'tab' if file.suffix == '.tsv' else 'comma'} in quotation marks."
            )
        rows.append(tuple(_text(value, f"{file}, line {number}", name) for name, value in _named(row, columns, file, number)))
    return rows


def whole_and_cut(file: Path, columns: Sequence[str]) -> list[tuple[str, ...] | None]:
    """The named columns of each line of a tab-separated file in which quotation marks are text; None for a damaged line.

    Raises RecipeError: a column that is not there.
    """
    found = []
    for number, row in _rows(file, quotes=False):
        cells = [value for _, value in _named(row, columns, file, number)]
        found.append(None if row.get(EXCESS) is not None or CUT in cells else tuple(cells))
    return found


def _named(row: Mapping[Any, Any], columns: Sequence[str], file: Path, number: int) -> list[tuple[str, Any]]:
    missing = [column for column in columns if column not in row]
    if missing:
        known = did_you_mean(missing[0], [key for key in row if key != EXCESS])
        raise RecipeError(f"{file}, line {number} has no column {missing[0]!r}; {known}")
    return [(column, row[column]) for column in columns]


def _text(value: Any, where: str, column: str) -> str:
    """A cell as text: a text, or a finite number."""
    if isinstance(value, str):
        return value
    if value is CUT:
        raise RecipeError(f"{where} is cut off before {column!r}; mend it, or remove it.")
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise RecipeError(f"{where} has {json.dumps(value)} as {column!r}; a text or a finite number is expected.")
    return str(value)


def _rows(file: Path, *, quotes: bool) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines, long_fields():
            if file.suffix in (".jsonl", ".json"):
                yield from _json(file, lines)
                return
            tabs = file.suffix == ".tsv"
            reader = csv.DictReader(
                lines,
                restkey=EXCESS,
                restval=CUT,
                delimiter="\t" if tabs else ",",
                quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
                strict=quotes,
            )
            for row in reader:
                if tabs and any("\t" in cell and "\n" in cell for cell in row.values() if isinstance(cell, str)):
                    raise RecipeError(
                        f"{file}, up to line {reader.line_num}: a text that begins with a quotation mark holds whole lines; "
                        'write it in quotation marks, with those inside doubled ("").'
                    )
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        place = f", after line {reader.line_num}" if isinstance(error, csv.Error) else ""
        raise RecipeError(f"{file}{place} cannot be read as a table in UTF-8: {error}.") from None


def _json(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise RecipeError(f"{file}, line {number} is no JSON object; one object a line is expected.")
        yield number, row


@contextmanager
def long_fields() -> Iterator[None]:
    """Lets the csv module read texts of any length; a review may be longer than its limit."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
