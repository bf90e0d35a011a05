"""Triples as text: one fact a line, head, relation and tail separated by tabs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.errors import RecipeError

Fact = tuple[str, str, str]
FIELDS = ("head", "relation", "tail")


@dataclass(frozen=True)
class Triples:
    """A knowledge graph in three parts, each (T, 3) int64 of head, relation, tail.

    `entities` and `relations` are their names by number, the most frequent in training first.
    """

    name: str
    entities: Sequence[str]
    relations: Sequence[str]
    train: Tensor
    validation: Tensor
    test: Tensor
    fingerprint: str


def parse(text: bytes, where: str) -> list[Fact]:
    """The facts of a file; empty lines are skipped. Raises RecipeError with the line that is none."""
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RecipeError(f"{where} is not UTF-8 text ({error.reason} at byte {error.start}); convert it.") from None
    return [_fact(line, f"{where}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def numbered(name: str, parts: Mapping[str, Sequence[Fact]]) -> Triples:
    """Facts by part (`train`, `validation`, `test`) with entities and relations as numbers.

    Raises RecipeError where nothing is there to train on, or to test on.
    """
    for part in ("train", "test"):
        if not parts.get(part):
            raise RecipeError(f"{name} has no triples to {part} on: its {part} file is empty; correct the file or the folder.")
    order = [parts["train"], parts.get("validation", ()), parts["test"]]
    everything = [fact for part in order for fact in part]
    entities = _by_frequency((e for h, _, t in order[0] for e in (h, t)), (e for h, _, t in everything for e in (h, t)))
    relations = _by_frequency((r for _, r, _ in order[0]), (r for _, r, _ in everything))
    of_entity, of_relation = ({n: i for i, n in enumerate(names)} for names in (entities, relations))
    train, validation, test = (
        torch.tensor([(of_entity[h], of_relation[r], of_entity[t]) for h, r, t in part], dtype=torch.int64).view(-1, 3)
        for part in order
    )
    return Triples(name, entities, relations, train, validation, test, _hash(order))


def _fact(line: str, where: str) -> Fact:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 3:
        raise RecipeError(
            f"{where}: expected head, relation and tail separated by tabs, got {len(fields)} fields; correct the line."
        )
    for field, what in zip(fields, FIELDS, strict=True):
        if not field:
            raise RecipeError(f"{where}: the {what} is empty; correct the line, or remove it.")
    return fields[0], fields[1], fields[2]


def _by_frequency(counted: Iterable[str], names: Iterable[str]) -> list[str]:
    count = Counter(counted)
    return sorted(set(names), key=lambda name: (-count[name], name))


def _hash(parts: Iterable[Iterable[Fact]]) -> str:
    return digests.of_stream(_content(parts))[: digests.SHORT]


def _content(parts: Iterable[Iterable[Fact]]) -> Iterator[bytes]:
    for part in parts:
        for fact in part:
            yield "\t".join(fact).encode() + b"\n"
        yield b"\0"
