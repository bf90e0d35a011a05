"""Data sets of the Hugging Face library `datasets`, by name, and any rows that Python holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kdzoo.data.search_paths import Availability
from kdzoo.errors import MissingError, RecipeError, did_you_mean
from kdzoo_text.data.texts import PARTS, Row, TextSet, labeled, numbered, scored

Rows = Iterable[Mapping[str, Any]]


class TextRows:
    """Rows in memory, for notebooks: lists of mappings, or data sets of Hugging Face. Python only.

    Args:
        train, test, validation: rows with the columns below.
        text, pair, label: names of the columns; scores: the labels are numbers to predict, not classes.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        train: Any,
        test: Any,
        validation: Any | None = None,
        text: str = "text",
        pair: str | None = None,
        label: str = "label",
        scores: bool = False,
    ) -> None:
        given = {"train": train, "validation": validation, "test": test}
        columns = [text, *([pair] if pair else []), label]
        self.rows = {part: _taken(part, rows, columns) for part, rows in given.items() if rows is not None}
        self.names = _names({part: rows for part, rows in given.items() if rows is not None}, label)
        self.scores = scores

    @staticmethod
    def from_python(given: Any) -> dict[str, Any] | None:
        """{"train": rows, "test": rows, maybe "validation": rows}, each row a mapping, as data sets of Hugging Face are."""
        parts = given if isinstance(given, Mapping) else {"train": given}
        if not parts or not all(map(_are_rows, parts.values())):
            return None
        strange = sorted(set(parts) - set(PARTS))
        if strange or not {"train", "test"} <= set(parts):
            found = f"parts {', '.join(map(repr, parts))}" if isinstance(given, Mapping) else "rows without a test part"
            raise RecipeError(f'data has {found}; give {{"train": rows, "test": rows}}, and maybe "validation".')
        return {"use": "text_classification", "data": {"use": "text_rows", **parts}}

    def load(self, root: Path | None = None) -> TextSet:
        """Number the labels and check the texts; `root` is not needed."""
        return _made("rows", self.rows, self.names, self.scores)


class HFDataset:
    """A data set by its name on the Hugging Face hub, as the library `datasets` loads it.

    Args:
        name, config: as `datasets.load_dataset` takes them; the name may be a folder.
        text, pair, label: columns; `pair` is the second text, if a sample has two.
        train, validation, test: its splits. GLUE's test has no labels: use `test: validation` and no validation there.
        scores: the labels are numbers to predict, not classes.
        download: use the network for what is not on this machine yet.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        name: str,
        config: str | None = None,
        text: str = "text",
        pair: str | None = None,
        label: str = "label",
        train: str = "train",
        validation: str | None = None,
        test: str = "test",
        scores: bool = False,
        download: bool = False,
    ) -> None:
        self.name, self.config, self.label, self.scores, self.download = name, config, label, scores, download
        self.columns = [text, *([pair] if pair else []), label]
        self.splits = {"train": train, "validation": validation, "test": test}

    def load(self, root: Path | None = None) -> TextSet:
        library = _library()
        splits = {part: split for part, split in self.splits.items() if split is not None}
        try:
            config = library.DownloadConfig(local_files_only=not self.download)
            found = {
                p: library.load_dataset(self.name, self.config, split=s, download_config=config) for p, s in splits.items()
            }
        except Exception as error:  # the library raises what its many back ends raise
            absent = isinstance(error, OSError) and not self.download
            hint = " Set task.data.download=true to fetch it once, where there is a network." if absent else ""
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise MissingError(f"the data set {self.name!r} could not be loaded: {reason}.{hint}") from None
        rows = {part: _taken(part, each, self.columns) for part, each in found.items()}
        title = self.name if self.config is None else f"{self.name}, {self.config}"
        return _made(title, rows, _names(found, self.label), self.scores)

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        return Availability("hf_dataset", None, "", None, "each data set its own", "name one by task.data.name")


def _are_rows(given: Any) -> bool:
    """Whether this is a list of mappings, or what can be read as one."""
    if isinstance(given, str | Mapping) or not hasattr(given, "__getitem__") or not hasattr(given, "__len__"):
        return False
    return len(given) > 0 and isinstance(given[0], Mapping)


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingError("hf_dataset needs the package datasets, which is not installed. Run: pip install datasets") from None
    return datasets


def _taken(part: str, rows: Rows, columns: list[str]) -> list[Row]:
    taken = []
    for number, row in enumerate(rows):
        missing = [column for column in columns if column not in row]
        if missing:
            known = did_you_mean(missing[0], row)
            raise RecipeError(
                f"{part}, row {number} has no column {missing[0]!r} (task.data.text, pair and label name it); {known}"
            )
        values = [row[c].item() if hasattr(row[c], "item") else row[c] for c in columns]  # numbers of NumPy and PyTorch
        for column, value in zip(columns, values, strict=True):
            if not isinstance(value, str | int | float) or value != value:
                raise RecipeError(f"{part}, row {number}: {column!r} is {value!r}; a text or a number is expected.")
        first, *second, label = map(str, values)
        taken.append((first, second[0] if second else None, label))
    return taken


def _names(parts: Mapping[str, Any], label: str) -> list[str] | None:
    """What the library calls the classes 0, 1, ..., if it does. Raises RecipeError: a part calls them otherwise than train."""
    found = {}
    for part, rows in parts.items():
        feature = (getattr(rows, "features", None) or {}).get(label)
        names = getattr(feature, "names", None)
        found[part] = list(names) if names else None
    for part, names in found.items():
        if names != found["train"]:
            called = [", ".join(each) if each else "only numbers" for each in (names, found["train"])]
            raise RecipeError(
                f"data: {part} names its classes {called[0]}, train {called[1]}: their numbers would mean other classes; give "
                "both the same."
            )
    return found["train"]


def _made(title: str, rows: dict[str, list[Row]], names: list[str] | None, scores: bool) -> TextSet:
    if scores:
        return scored(title, rows)
    return labeled(title, rows) if names is None else numbered(title, rows, names)
