"""Texts of one's own: a folder with train, test and, for choosing epochs, validation, as CSV, TSV or JSON lines."""

from __future__ import annotations

from pathlib import Path

from kdzoo.data.search_paths import Availability
from kdzoo.errors import RecipeError
from kdzoo_text.data.table_files import find, read
from kdzoo_text.data.texts import Row, TextSet, labeled, scored

NEEDED = "train and test (and validation, valid or dev), each .csv, .tsv or .jsonl, with a header or keys"


class TextFiles:
    """A folder of tables.

    Args:
        folder: with the files.
        text, pair, label: columns; `pair` is the second text, if a sample has two.
        scores: the labels are numbers to predict, not classes.
    """

    kdzoo_kind = "data"

    def __init__(
        self, *, folder: str, text: str = "text", pair: str | None = None, label: str = "label", scores: bool = False
    ) -> None:
        self.folder, self.text, self.pair, self.label, self.scores = folder, text, pair, label, scores

    def load(self, root: Path | None = None) -> TextSet:
        place = Path(self.folder).expanduser()
        place = place if place.is_absolute() or place.exists() or root is None else root / place
        files = find(place)
        missing = [part for part in ("train", "test") if part not in files]
        if missing:
            raise RecipeError(f"task.data.folder: {place} has no {missing[0]} file; expected {NEEDED}.")
        columns = [self.text, *([self.pair] if self.pair else []), self.label]
        rows = {part: [_row(found) for found in read(file, columns)] for part, file in files.items()}
        return (scored if self.scores else labeled)(place.name, rows)

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        return Availability("text_files", None, "", None, "", "write the files, and name their folder by task.data.folder")


def _row(found: tuple[str, ...]) -> Row:
    first, *second, label = found
    return first, second[0] if second else None, label
