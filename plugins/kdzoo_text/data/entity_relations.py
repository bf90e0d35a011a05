"""Entity relations: generated sentences with two marked names, what each names, and what relates them.

An example for rules between several answers about a text, of the form of DomiKnowS's example on CoNLL04, of which nothing is in
it: no name and no sentence is real, and no result says anything about language. The subject stands between `*`, the object
between `#`. A third of the sentences that state a relation have a wording that all relations share, so that only what the names
name tells which one it is. Names of the test occur in no other part.

The label is `relation subject object`: `works_for person organization`, or `none place person` where nothing relates the names,
which may then be of any kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from kdzoo.ranges import at_least
from kdzoo_text.data.texts import TextSet, labeled

KINDS = {
    "works_for": ("person", "organization"),
    "lives_in": ("person", "place"),
    "based_in": ("organization", "place"),
    "located_in": ("place", "place"),
}
NONE = "none"
NAMED = ("organization", "person", "place")
LABELS = tuple(
    sorted([f"{relation} {a} {b}" for relation, (a, b) in KINDS.items()] + [f"{NONE} {a} {b}" for a in NAMED for b in NAMED])
)
OWN = {
    "works_for": ("{s} works for {o}", "{o} hired {s} last year", "{s} is paid by {o}", "the staff of {o} met {s}"),
    "lives_in": ("{s} lives in {o}", "{s} has a house in {o}", "{s} moved to {o}", "{o} is home to {s}"),
    "based_in": (
        "{s} has its seat in {o}",
        "{s} opened its main office in {o}",
        "{o} is the seat of {s}",
        "{s} is run from {o}",
    ),
    "located_in": ("{s} lies in {o}", "the road through {o} ends in {s}", "{s} is a town in {o}", "the maps of {o} show {s}"),
}
SHARED = ("{s} of {o} was in the news", "we heard about {s} from {o}", "{s} is one of the best things about {o}")
UNRELATED = (
    "{s} has nothing to do with {o}",
    "first they spoke of {s} , later of {o}",
    "{s} was in the news , and so was {o}",
    "the article on {o} comes after the one on {s}",
    "few have heard of {s} or {o}",
)
FIRST = ("anna", "boris", "clara", "david", "elena", "felix", "greta", "hugo", "irene", "jonas", "karin", "leo", "maria")
FIRM = ("systems", "foods", "motors", "bank", "labs", "union", "press", "")
TOWN = ("ville", "burg", "ton", "stad", "field", "port", "")
STARTS, MIDDLES = "bdfghklmnprstvz", "aeiou"
ENDS = ("ban", "den", "gor", "lin", "mar", "nak", "rel", "sen", "tov", "vik")
PARTS = ("test", "validation", "train")


class EntityRelations:
    """Generated sentences with two names: their kinds, and the relation between them.

    Args:
        train, validation, test: sentences; 500 or more to train on, so that none of the 13 labels is missing.
        seed: of the generator.
    """

    kdzoo_kind = "data"
    class_names = LABELS

    def __init__(self, *, train: int = 2000, validation: int = 300, test: int = 1000, seed: int = 0) -> None:
        at_least(1, validation=validation, test=test)
        at_least(500, train=train)
        self.sizes, self.seed = {"test": test, "validation": validation, "train": train}, seed

    def load(self, root: Path | None = None) -> TextSet:
        """Write the sentences; `root` is not needed."""
        stems = _stems(Random(self.seed))
        share = len(stems) // len(PARTS)
        rows: dict[str, list[tuple[str, str | None, str]]] = {}
        for number, part in enumerate(PARTS):
            draw = Random(f"{self.seed} {part}")
            own = stems[number * share : (number + 1) * share]
            rows[part] = [_sentence(draw, own) for _ in range(self.sizes[part])]
        return labeled("entity_relations (generated)", rows)


def _stems(draw: Random) -> list[str]:
    """All invented stems of names, shuffled."""
    stems = [start + middle + end for start in STARTS for middle in MIDDLES for end in ENDS]
    draw.shuffle(stems)
    return stems


def _sentence(draw: Random, stems: Sequence[str]) -> tuple[str, None, str]:
    """(sentence, no second text, label)."""
    relation = draw.choice([*KINDS, NONE])
    subject, object_ = KINDS.get(relation) or (draw.choice(NAMED), draw.choice(NAMED))
    wordings = UNRELATED if relation == NONE else SHARED if draw.random() < 1 / 3 else OWN[relation]
    first, second = draw.sample(stems, 2)
    text = draw.choice(wordings).format(s=f"* {_name(draw, subject, first)} *", o=f"# {_name(draw, object_, second)} #")
    return text, None, f"{relation} {subject} {object_}"


def _name(draw: Random, kind: str, stem: str) -> str:
    """A name of a kind; where its ending is empty, it could be one of another kind."""
    if kind == "person":
        return f"{draw.choice(FIRST)} {stem}"
    return f"{stem} {draw.choice(FIRM)}".strip() if kind == "organization" else stem + draw.choice(TOWN)
