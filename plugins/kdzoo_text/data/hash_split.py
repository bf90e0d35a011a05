"""A split for corpora that come without one: fixed for ever, by the hash of each text, whatever the order of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

Row = TypeVar("Row", bound=tuple[str | None, ...])


def hash_split(rows: Sequence[Row], *, test: int, validation: int) -> dict[str, list[Row]]:
    """Rows sorted by SHA-1 of their text (their first entry): the first are the test, the next validation, the rest training.

    Rows with a text that was there already are left out: the first one stays.

    >>> parts = hash_split([("a", "x"), ("b", "y"), ("a", "z"), ("c", "x")], test=1, validation=1)
    >>> {name: [text for text, _ in part] for name, part in parts.items()}
    {'test': ['c'], 'validation': ['a'], 'train': ['b']}
    """
    unique: dict[str, Row] = {}
    for row in rows:
        unique.setdefault(str(row[0]), row)
    ordered = [unique[text] for text in sorted(unique, key=lambda text: hashlib.sha1(text.encode()).hexdigest())]
    held = test + validation
    return {"test": ordered[:test], "validation": ordered[test:held], "train": ordered[held:]}
