"""GLUE (A. Wang and others, "GLUE: A Multi-Task Benchmark", ICLR 2019, arXiv 1804.07461), from its tab-separated files.

The labels of GLUE's test files are not public, so its development set is the test here, and validation is taken out of
training. Some of its lines are damaged (QQP's): those that are cut off, or have an empty text, are left out, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kdzoo.data.search_paths import Availability, Search
from kdzoo.errors import RecipeError
from kdzoo_text.data.table_files import whole_and_cut
from kdzoo_text.data.texts import Row, TextSet, labeled, scored

Name = Literal["cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "mnli_mismatched", "qnli", "rte", "wnli"]


@dataclass(frozen=True)
class Files:
    """The folder of a GLUE task, its columns (texts, then label), and its development file."""

    folder: str
    columns: tuple[str, ...]
    dev: str = "dev.tsv"


FILES = {
    "cola": Files("CoLA", ("3", "1")),
    "sst2": Files("SST-2", ("sentence", "label")),
    "mrpc": Files("MRPC", ("#1 String", "#2 String", "Quality")),
    "qqp": Files("QQP", ("question1", "question2", "is_duplicate")),
    "stsb": Files("STS-B", ("sentence1", "sentence2", "score")),
    "mnli": Files("MNLI", ("sentence1", "sentence2", "gold_label"), "dev_matched.tsv"),
    "mnli_mismatched": Files("MNLI", ("sentence1", "sentence2", "gold_label"), "dev_mismatched.tsv"),
    "qnli": Files("QNLI", ("question", "sentence", "label")),
    "rte": Files("RTE", ("sentence1", "sentence2", "label")),
    "wnli": Files("WNLI", ("sentence1", "sentence2", "label")),
}
GET = "download GLUE's files (as its script does), and name the folder above CoLA, SST-2, ... by task.data.folder"


class GLUE:
    """One of GLUE's tasks.

    Args:
        name: of the task. folder: the folder above `SST-2` and the others; by default the shared places are searched.
    """

    kdzoo_kind = "data"

    def __init__(self, *, name: Name, folder: str | None = None) -> None:
        self.name, self.folder = name, folder

    def load(self, root: Path | None = None) -> TextSet:
        files = FILES[self.name]
        search = Search(f"GLUE's {files.folder}", f"train.tsv and {files.dev}", GET, [files.folder, f"glue/{files.folder}"])
        place = search.first(lambda folder: _complete(folder, files), self.folder, root)
        if place is None:
            raise search.missing(self.folder, root)
        rows: dict[str, list[Row]] = {}
        remarks: list[str] = []
        for part, file in (("train", place / "train.tsv"), ("test", place / files.dev)):
            found = [row if row is not None and all(text.strip() for text in row) else None for row in _rows(file, files)]
            rows[part] = [(row[0], row[1] if len(row) == 3 else None, row[-1]) for row in found if row is not None]
            if None in found:
                remarks.append(
                    f"glue, {self.name}, {part}: {found.count(None):,} of {len(found):,} lines are damaged and left out."
                )
        return replace((scored if self.name == "stsb" else labeled)(f"glue, {self.name}", rows), remarks=tuple(remarks))

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        return Availability("glue", None, "", None, "each task its own", GET)


def _complete(folder: Path, files: Files) -> Path | None:
    return folder if folder.name == files.folder and all((folder / n).is_file() for n in ("train.tsv", files.dev)) else None


def _rows(file: Path, files: Files) -> list[tuple[str, ...] | None]:
    """Texts and label of each line; None where it is cut off."""
    if not files.columns[0].isdigit():
        return whole_and_cut(file, files.columns)
    try:
        lines = [line.split("\t") for line in file.read_text("utf-8-sig").split("\n") if line]
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file} cannot be read as a table in UTF-8: {error}.") from None
    places = [int(column) for column in files.columns]
    return [tuple(cells[place] for place in places) if len(cells) > max(places) else None for cells in lines]
