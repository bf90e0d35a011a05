"""Texts, or pairs of texts, with their labels, in up to three parts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.errors import RecipeError

PARTS = ("train", "validation", "test")
Row = tuple[str, str | None, str]
"""A text, a second one or None, and a label."""


@dataclass(frozen=True)
class Texts:
    """Labeled texts.

    Attributes:
        first, second: N texts each; `second` is None where a sample is a single text.
        labels: int64 (N,), or float32 (N,) scores.
    """

    first: Sequence[str]
    labels: Tensor
    second: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.first)

    def taken(self, index: Sequence[int]) -> Texts:
        """The samples at these places, in this order."""
        second = None if self.second is None else [self.second[place] for place in index]
        return Texts([self.first[place] for place in index], self.labels[list(index)], second)

    def sorted(self) -> Texts:
        """The same from short to long, so that an evaluation batch needs little padding. Equal lengths keep their order."""
        sizes = [len(text) + (len(self.second[place]) if self.second else 0) for place, text in enumerate(self.first)]
        return self.taken(sorted(range(len(self)), key=sizes.__getitem__))


@dataclass(frozen=True)
class TextSet:
    """A data set of texts.

    Attributes:
        validation: the source's own, or None.
        class_names: of the labels 0, 1, ...; empty where the labels are scores.
        remarks: sentences that a run on these texts says at its start.
    """

    name: str
    train: Texts
    test: Texts
    validation: Texts | None
    class_names: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, texts in self.parts.items():
            _check(f"{self.name}, {part}", texts)
        if len(self.class_names) == 1:
            raise RecipeError(f"{self.name} has one class only ({self.class_names[0]}), so there is nothing to tell apart.")

    @property
    def parts(self) -> dict[str, Texts]:
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: texts for name, texts in found.items() if texts is not None}

    @property
    def pairs(self) -> bool:
        return self.train.second is not None

    @property
    def fingerprint(self) -> str:
        """Hash of all texts and labels."""
        lines = [self.name, *self.class_names]
        for part, texts in self.parts.items():
            lines += [part, *texts.first, *(texts.second or ()), *map(str, texts.labels.tolist())]
        return digests.of_text("\x1f".join(lines))


def _check(where: str, texts: Texts) -> None:
    """Refuse, with the place, what no model can be given."""
    if not len(texts):
        raise RecipeError(f"{where} has no texts; check the files.")
    for column in (texts.first, *([texts.second] if texts.second else [])):
        for place, text in enumerate(column):
            if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
                raise RecipeError(f"{where}: sample {place} (counted from 0) holds half of a character; mend that text.")
        empty = next((place for place, text in enumerate(column) if not text.strip()), None)
        if empty is not None:
            raise RecipeError(f"{where}: sample {empty} (counted from 0) is an empty text; remove it, or give it a text.")


def labeled(name: str, rows: dict[str, list[Row]]) -> TextSet:
    """A set of classes from rows (text, second text or None, label) by part; classes are numbered in sorted order.

    Labels that are all whole numbers are sorted as numbers. Raises RecipeError: a label of another part that no training text
    has.
    """
    if not rows["train"]:
        raise RecipeError(f"{name}, train has no texts; check the files.")
    known = _ordered({label for _, _, label in rows["train"]})
    _check_classes(name, known)
    number = {label: place for place, label in enumerate(known)}
    for part, found in rows.items():
        strange = next((label for _, _, label in found if label not in number), None)
        if strange is not None:
            raise RecipeError(f"{name}, {part} has the label {strange!r}, which no training text has ({', '.join(known)}).")
    parts = {part: _texts(found, torch.tensor([number[label] for *_, label in found])) for part, found in rows.items()}
    return TextSet(name, parts["train"], parts["test"], parts.get("validation"), tuple(known))


def _check_classes(name: str, labels: Sequence[str]) -> None:
    """Refuse classes that nobody means: without a name, or two that differ by spaces or the way a number is written."""
    seen: dict[str | float, str] = {}
    for label in labels:
        if not label.strip():
            raise RecipeError(f"{name}: a text has an empty label; give it one, or remove the text.")
        if (other := seen.setdefault(_meant(label), label)) != label:
            raise RecipeError(f"{name} has the labels {other!r} and {label!r}, which look like one class; write them alike.")


def _meant(label: str) -> str | float:
    try:
        number = float(label)
    except ValueError:
        return label.strip()
    return number if math.isfinite(number) else label.strip()


def numbered(name: str, rows: dict[str, list[Row]], names: Sequence[str]) -> TextSet:
    """A set of classes that have names, from rows as for `labeled` whose labels are their numbers.

    Raises RecipeError: another label, -1 among them, by which a source says that it withholds the labels.
    """
    known = {str(number): number for number in range(len(names))}
    for part, found in rows.items():
        place, label = next(((p, label) for p, (*_, label) in enumerate(found) if label not in known), (0, None))
        if label is not None:
            why = "it is withheld: choose another split" if label == "-1" else f"there are the classes 0 to {len(names) - 1}"
            raise RecipeError(f"{name}, {part}: sample {place} has the label {label or 'that is empty'}; {why}.")
    parts = {part: _texts(found, torch.tensor([known[label] for *_, label in found])) for part, found in rows.items()}
    return TextSet(name, parts["train"], parts["test"], parts.get("validation"), tuple(names))


def scored(name: str, rows: dict[str, list[Row]]) -> TextSet:
    """A set of scores from rows as for `labeled`. Raises RecipeError: a score that is no number."""
    parts = {}
    for part, found in rows.items():
        values = []
        for place, (*_, score) in enumerate(found):
            try:
                values.append(float(score))
            except ValueError:
                values.append(math.nan)
            if not abs(values[-1]) <= torch.finfo(torch.float32).max:
                raise RecipeError(f"{name}, {part}: the score {score!r} of sample {place} is no finite number (of 32 bits).")
        parts[part] = _texts(found, torch.tensor(values))
    return TextSet(name, parts["train"], parts["test"], parts.get("validation"), ())


def _texts(rows: list[Row], labels: Tensor) -> Texts:
    second = [pair for _, pair, _ in rows if pair is not None]
    return Texts([text for text, _, _ in rows], labels, second if len(second) == len(rows) and rows else None)


def _ordered(labels: set[str]) -> list[str]:
    whole = re.compile(r"-?\d+")
    return sorted(labels, key=lambda label: (0, int(label), label) if whole.fullmatch(label) else (1, 0, label))
