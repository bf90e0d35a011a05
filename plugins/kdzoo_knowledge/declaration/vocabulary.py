"""What rules may speak of: heads with their classes, and relations whose parts have heads.

A softmax head holds exactly one of its classes, a binary head any of them. A head belongs to a kind of thing (`of`), by default
the sample; a relation is a kind of thing whose groundings have parts (has-a), each under a role: `pair: {first: image, second:
image}`.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo_knowledge.declaration.expressions import OPERATIONS, Atom, Expression

SAMPLE = "sample"
NAME = re.compile(r"[A-Za-z_]\w*")
LABEL = re.compile(r"\w+")


@dataclass(frozen=True)
class Head:
    """A concept with its classes.

    Attributes:
        binary: each class is true or false for itself; otherwise exactly one is true.
        of: the kind of thing that has this head. given: it is known and not answered by the model (a label that a rule uses).
    """

    name: str
    classes: tuple[str, ...]
    binary: bool = False
    of: str = SAMPLE
    given: bool = False

    def __getattr__(self, label: str) -> Atom:
        """`fine.bag`, for rules written in Python."""
        if label.startswith("__"):
            raise AttributeError(label)
        return self[label]

    def __getitem__(self, label: str | int) -> Atom:
        if isinstance(label, int) and not 0 <= label < len(self.classes):
            raise IndexError(f"{self.name} has the classes 0 to {len(self.classes) - 1}, got {label}")
        name = self.classes[label] if isinstance(label, int) else label
        if not isinstance(name, str):
            raise TypeError(f"{self.name}[...] takes one class, by its name or its number, got {label!r}")
        if name not in self.classes:
            raise AttributeError(f"{self.name} has no class {name!r}; {did_you_mean(name, self.classes)}")
        return Atom(self.name, name)

    @property
    def atoms(self) -> tuple[Expression, ...]:
        """One for each class, for counts over all of them."""
        return tuple(Atom(self.name, label) for label in self.classes)

    def as_part(self, role: str) -> Mapping[str, Atom]:
        """The atoms of this head on a part of a relation, by class."""
        return {label: Atom(self.name, label, role) for label in self.classes}


@dataclass(frozen=True)
class Vocabulary:
    """Heads by name, and relations by name: role -> the kind of thing that plays it. Raises RecipeError for unfit names."""

    heads: Mapping[str, Head]
    relations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        roles = [role for parts in self.relations.values() for role in parts]
        for name in (*self.heads, *self.relations, *roles):
            if not NAME.fullmatch(name) or name in OPERATIONS or keyword.iskeyword(name):
                raise RecipeError(f"knowledge: {name!r} cannot be a name; use letters, digits and _, and no word of the rules.")
        twice = next((role for role in roles if roles.count(role) > 1 or role in self.heads), None)
        if twice:
            raise RecipeError(f"knowledge: the role {twice!r} has two meanings; give each role a name of its own.")
        for head in self.heads.values():
            self._check(head)

    def _check(self, head: Head) -> None:
        wrong = next((label for label in head.classes if not LABEL.fullmatch(label)), None)
        if wrong is not None:
            raise RecipeError(f"knowledge.heads.{head.name}: {wrong!r} cannot be a class's name; use letters, digits and _.")
        if len(set(head.classes)) < len(head.classes):
            raise RecipeError(f"knowledge.heads.{head.name}: two classes have one name.")
        if len(head.classes) < 2 - head.binary:
            raise RecipeError(f"knowledge.heads.{head.name} has {len(head.classes)} classes; a softmax head needs two or more.")

    def resolve(self, parts: Sequence[str]) -> Sequence[Atom]:
        """The atoms of a dotted name. Raises ValueError with the nearest names."""
        role, path = ("", list(parts))
        if path[0] in self.roles and path[0] not in self.heads:
            role, path = path[0], path[1:]
            if not path:
                raise ValueError(f"`{role}` is a role; name a head of it, as in `{role}.{next(iter(self.heads))}`")
        name, *label = path
        if name not in self.heads:
            known = [*self.heads, *(() if role else self.roles)]
            raise ValueError(f"there is no concept `{name}`; {did_you_mean(name, known)}")
        head = self.heads[name]
        if role and head.of != self.roles[role]:
            raise ValueError(f"`{role}` is a {self.roles[role]}, which has no head `{name}`: that is of a {head.of}")
        if not label:
            return [Atom(name, each, role) for each in head.classes]
        if len(label) > 1:
            raise ValueError(f"`{'.'.join(parts)}` has a part too many; write head.class or role.head.class")
        if label[0] not in head.classes:
            raise ValueError(f"`{name}` has no class `{label[0]}`; {did_you_mean(label[0], head.classes)}")
        return [Atom(name, label[0], role)]

    @property
    def roles(self) -> dict[str, str]:
        """Role -> the kind of thing that plays it."""
        return {role: kind for parts in self.relations.values() for role, kind in parts.items()}

    def subject(self, atoms: Iterable[Atom]) -> str:
        """The kind of thing that a rule is about: that of its heads without a role, or the relation of its roles.

        Raises ValueError if it speaks of several.
        """
        owner = {role: relation for relation, parts in self.relations.items() for role in parts}
        kinds = dict.fromkeys(owner[atom.role] if atom.role else self.heads[atom.head].of for atom in atoms)
        if len(kinds) != 1:
            raise ValueError(f"it speaks of {' and '.join(kinds)} at once; relate them by a relation and its roles")
        return next(iter(kinds))


def slug(name: str) -> str:
    """A data set's class name as rules write it: `T-shirt/top` is `t_shirt_top`."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")
