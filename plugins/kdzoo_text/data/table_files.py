"""Tables of texts: CSV, TSV and JSON lines with named columns."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from kdzoo.errors import RecipeError, did_you_mean

ENDINGS = (".csv", ".tsv", ".jsonl", ".json")
STEMS = {"train": ("train",), "validation": ("validation", "valid", "dev"), "test": ("test",)}


def find(folder: Path) -> dict[str, Path]:
    """part -> its file in a folder."""
    names = {part: [stem + end for stem in stems for end in ENDINGS] for part, stems in STEMS.items()}
    found = {part: next((folder / name for name in own if (folder / name).is_file()), None) for part, own in names.items()}
    return {part: file for part, file in found.items() if file is not None}


def read(file: Path, columns: Sequence[str], *, quotes: bool = True) -> list[tuple[str, ...]]:
    """The named columns of each row, as texts.

    Args: quotes: False for tab-separated files in which quotation marks are text (GLUE's).

    Raises RecipeError: a column that is not there, or a line that is damaged.
    """
    rows = []
    for number, row in whole_and_cut(file, columns, quotes=quotes):
        if row is None:
            raise RecipeError(f"{file}, line {number} is cut off before {columns[-1]!r}; mend it, or remove it.")
        rows.append(row)
    return rows


def whole_and_cut(file: Path, columns: Sequence[str], *, quotes: bool = True) -> Iterator[tuple[int, tuple[str, ...] | None]]:
    """(number of its line, its texts as `read` gives them, or None where the line ends before) of each row."""
    for number, row in _rows(file, quotes):
        missing = [column for column in columns if column not in row]
        if missing:
            known = did_you_mean(missing[0], [key for key in row if isinstance(key, str)])
            raise RecipeError(f"{file}, line {number} has no column {missing[0]!r}; {known}")
        found = [row[column] for column in columns]
        yield number, None if any(value is None for value in found) else tuple(map(str, found))


def _rows(file: Path, quotes: bool) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines, long_fields():
            if file.suffix in (".jsonl", ".json"):
                yield from _json(file, lines)
                return
            delimiter = "\t" if file.suffix == ".tsv" else ","
            quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
            reader = csv.DictReader(lines, delimiter=delimiter, quoting=quoting)
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{file} cannot be read as a table in UTF-8: {error}.") from None


def _json(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
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
