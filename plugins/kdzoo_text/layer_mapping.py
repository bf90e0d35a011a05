"""Which layer of the teacher each layer of the student looks at. Layers count from 1; 0 is the embeddings' output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from kdzoo.errors import RecipeError

Mapping = Literal["uniform", "skip", "last", "final"]
Pair = tuple[int, int]


def layer_pairs(mapping: Mapping, student: int, teacher: int, *, embeddings: bool = False) -> list[Pair]:
    """Pairs (student layer, teacher layer).

    Args:
        mapping: `uniform`, every layer s with s * teacher / student, rounded (TinyBERT); `skip`, the same without the last
            layer, and `last`, all but the last layer with the teacher's layers right below its last (both Patient KD);
            `final`, the last with the last (MiniLM, DistilBERT).
        student, teacher: numbers of layers. embeddings: also 0 with 0.

    >>> layer_pairs("skip", 6, 12)
    [(1, 2), (2, 4), (3, 6), (4, 8), (5, 10)]
    >>> layer_pairs("last", 6, 12)
    [(1, 7), (2, 8), (3, 9), (4, 10), (5, 11)]
    """
    if mapping == "final":
        return [(student, teacher)]
    first = [(0, 0)] if embeddings else []
    if mapping == "last":
        return first + [(s, teacher - student + s) for s in range(1, student)]
    every = [(s, round(s * teacher / student)) for s in range(1, student + 1)]
    return first + (every[:-1] if mapping == "skip" else every)


def checked(pairs: Sequence[Sequence[int]], student: int, teacher: int, where: str) -> list[Pair]:
    """Pairs as a recipe has them. Raises RecipeError: one that is no pair, or a layer that is not there."""
    for pair in pairs:
        if len(pair) != 2 or not (0 <= pair[0] <= student and 0 <= pair[1] <= teacher):
            raise RecipeError(
                f"{where}: {list(pair)} is no pair of a layer of the student (0 to {student}) and one of the teacher "
                f"(0 to {teacher})."
            )
    return [(pair[0], pair[1]) for pair in pairs]
