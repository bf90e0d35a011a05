"""Knowledge as a recipe writes it, over the labels of a data set.

    heads:
      fine: data                                    # the data's own classes
      coarse:                                       # a softmax head: each class with the labels that it covers
        footwear: [sandal, sneaker, ankle_boot]         # or a pattern of their names: "*_boot"
        other: [bag]
      marks: {binary: {warm: [pullover, coat]}}     # a binary head
      hidden: [a, b]                                # classes without labels
    is_a: [{fine: coarse}, {fine.bag: coarse.other}]
    exclusive: [[marks.warm, fine.bag]]
    sums: [{total: [first.digit, second.digit]}]    # each class of a head stands for its number, 0, 1, ...
    rules:
      warm: if(marks.warm, not coarse.footwear)
      rare: {holds: "fine.bag -> coarse.other", weight: 0.5, priority: 90, tnorm: godel}

`{fine: coarse}` says of each class of `fine` that it is the class of `coarse` which covers its labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo_knowledge.declaration.expressions import Atom
from kdzoo_knowledge.declaration.grammar import check_form, parse
from kdzoo_knowledge.declaration.knowledge import Knowledge, Rule, exclusive, is_a, sums
from kdzoo_knowledge.declaration.vocabulary import SAMPLE, Head, Vocabulary, slug

RULE = ("holds", "weight", "priority", "tnorm")
"""The settings of a rule."""
DATA = "data"
WHERE = "task.knowledge"
Covered = Mapping[str, Sequence[tuple[int, ...]]]
"""Head -> for each class the data's labels that it covers."""


@dataclass(frozen=True, kw_only=True)
class KnowledgeSection:
    """The section `knowledge` of a task.

    Attributes:
        heads: by name; `data` for the classes of the data, a mapping of classes to the labels that they cover (names, numbers,
            patterns of names), a list of classes without labels, or {binary: ...} with one of these.
        is_a: a list of {child: parent}, of classes or of whole heads. exclusive: a list of lists of classes.
        sums: a list of {whole: [part, ...]}, of heads: the number of the whole's class is the sum of the parts'.
        rules: by name, a formula or {holds, weight, priority, tnorm}.
    """

    heads: Mapping[str, Any] = field(default_factory=dict)
    is_a: Sequence[Any] = ()
    exclusive: Sequence[Any] = ()
    sums: Sequence[Any] = ()
    rules: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """What is wrong whatever the data are is said before they are loaded."""
        for name, spec in self.rules.items():
            check_form(_settings(name, spec)["holds"], f"{WHERE}.rules.{name}")

    @property
    def names_data(self) -> bool:
        """Whether a head has the classes of the data."""
        return any(DATA in (spec, spec.get("binary") if isinstance(spec, Mapping) else None) for spec in self.heads.values())


@dataclass(frozen=True)
class Declared:
    """Knowledge, and what its classes mean in terms of a data set's labels."""

    knowledge: Knowledge
    covered: Covered


def declared(
    section: KnowledgeSection,
    data_classes: Sequence[str] | None,
    *,
    further: Mapping[str, Head] | None = None,
    relations: Mapping[str, Mapping[str, str]] | None = None,
    of: str = SAMPLE,
) -> Declared:
    """Read a section.

    Args:
        data_classes: names of the data's labels; None while they are not known, and what a class covers is not looked at then.
        further: heads that the task has beside those declared. relations: its relations.
        of: the kind of thing that the declared heads are heads of.

    Raises:
        RecipeError: with the place in the section.
    """
    labels: dict[str, int] = {}
    names = data_classes or ()
    for number, name in enumerate(names):
        if labels.setdefault(slug(name), number) != number:
            first = names[labels[slug(name)]]
            raise RecipeError(
                f"{WHERE}: the data's classes {first!r} and {name!r} would both be called `{slug(name)}` in rules, which have "
                "letters, digits and _ alone; rename one in the data."
            )
    heads, covered = {}, {}
    for name, spec in section.heads.items():
        where = f"{WHERE}.heads.{name}"
        binary = isinstance(spec, Mapping) and set(spec) == {"binary"}
        classes = _classes(spec["binary"] if binary else spec, None if data_classes is None else labels, where)
        heads[name] = Head(name, tuple(classes), binary=binary, of=of)
        covered[name] = [tuple(own) for own in classes.values()]
        if not binary:
            _check_apart(heads[name], covered[name], where)
    if not heads:
        raise RecipeError(f"{WHERE}.heads is empty; name at least one, as in `heads: {{fine: data}}`.")
    if data_classes is None:
        covered.clear()
    vocabulary = Vocabulary({**heads, **(further or {})}, relations or {})
    rules = [*_hierarchy(section, vocabulary, covered), *_exclusive(section, vocabulary)]
    rules += [*_sums(section, vocabulary), *_rules(section, vocabulary)]
    return Declared(Knowledge(vocabulary, tuple(rules)), covered)


def _classes(spec: Any, labels: Mapping[str, int] | None, where: str) -> dict[str, list[int]]:
    """Class -> labels; without labels where the data's are not known."""
    if labels is None:
        spec, labels = list(spec) if isinstance(spec, Mapping) else spec, {}
    if spec == DATA:
        return {name: [number] for name, number in labels.items()}
    if isinstance(spec, Mapping):
        return {
            str(name): [number for each in _listed(own) for number in _labels(each, labels, f"{where}.{name}")]
            for name, own in spec.items()
        }
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        if len({str(name) for name in spec}) < len(spec):
            raise RecipeError(f"{where}: two classes have one name.")
        return {str(name): [] for name in spec}
    raise RecipeError(
        f"{where} is {spec!r}; expected `data`, a mapping of classes to labels, a list of classes, or {{binary: ...}} of these."
    )


def _several(value: Any) -> bool:
    """Whether it is a list of two or more."""
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1


def _listed(own: Any) -> Sequence[Any]:
    return own if isinstance(own, Sequence) and not isinstance(own, str) else [own]


def _labels(each: Any, labels: Mapping[str, int], where: str) -> list[int]:
    """The label of a number or a name, or those that a pattern matches."""
    name = str(each)
    if isinstance(each, int) and not isinstance(each, bool) and 0 <= each < len(labels):
        return [each]
    if "*" in name:
        found = [number for label, number in labels.items() if fnmatchcase(label, name)]
        if not found:
            raise RecipeError(f"{where}: no label of the data matches {each!r}; there are {', '.join(list(labels)[:5])}, ...")
        return found
    if slug(name) not in labels:
        raise RecipeError(f"{where}: the data have no label {each!r}; {did_you_mean(slug(name), labels)}")
    return [labels[slug(name)]]


def _check_apart(head: Head, covered: Sequence[tuple[int, ...]], where: str) -> None:
    """A softmax head's classes cover no label twice."""
    seen: dict[int, str] = {}
    for label, own in zip(head.classes, covered, strict=True):
        for number in own:
            if number in seen:
                raise RecipeError(
                    f"{where}: `{seen[number]}` and `{label}` both cover label {number}, but of a softmax head exactly one "
                    "class is true; remove one, or make the head binary: {binary: ...}."
                )
            seen[number] = label


def _hierarchy(section: KnowledgeSection, vocabulary: Vocabulary, covered: Covered) -> Iterator[Rule]:
    for number, item in enumerate(section.is_a):
        where = f"{WHERE}.is_a[{number}]"
        if not isinstance(item, Mapping):
            raise RecipeError(f"{where} is {item!r}; expected {{child: parent}}, as in `- fine: coarse`.")
        for child, parent in item.items():
            yield from _is_a(str(child), str(parent), vocabulary, covered, where)


def _is_a(child: str, parent: str, vocabulary: Vocabulary, covered: Covered, where: str) -> Iterator[Rule]:
    if child not in vocabulary.heads or parent not in vocabulary.heads:
        yield is_a(_atom(child, vocabulary, where), _atom(parent, vocabulary, where))
        return
    if not covered:  # the data's labels are not known yet
        return
    for label, own in zip(vocabulary.heads[child].classes, covered[child], strict=True):
        above = [name for name, its in zip(vocabulary.heads[parent].classes, covered[parent], strict=True) if {*own} <= {*its}]
        if not own or len(above) != 1:
            raise RecipeError(
                f"{where}: `{child}.{label}` lies in {len(above) if own else 'no'} class{'es' if len(above) != 1 else ''} of "
                f"`{parent}` by its labels, where one is needed; name the class, as in `- {child}.{label}: {parent}.CLASS`."
            )
        yield is_a(Atom(child, label), Atom(parent, above[0]))


def _exclusive(section: KnowledgeSection, vocabulary: Vocabulary) -> Iterator[Rule]:
    for number, names in enumerate(section.exclusive):
        where = f"{WHERE}.exclusive[{number}]"
        if not _several(names):
            raise RecipeError(f"{where} is {names!r}; expected a list of two or more classes.")
        atoms = [_atom(str(name), vocabulary, where) for name in names]
        with placed(where):
            yield exclusive(f"exclusive({', '.join(map(str, names))})", atoms)


def _sums(section: KnowledgeSection, vocabulary: Vocabulary) -> Iterator[Rule]:
    for number, item in enumerate(section.sums):
        where = f"{WHERE}.sums[{number}]"
        if not isinstance(item, Mapping) or not all(
            isinstance(parts, list | tuple) and len(parts) > 1 for parts in item.values()
        ):
            raise RecipeError(
                f"{where} is {item!r}; expected {{whole: [part, part]}}, as in `- total: [first.digit, second.digit]`."
            )
        for whole, parts in item.items():
            total = _head_atoms(str(whole), vocabulary, where)
            atoms = [_head_atoms(str(part), vocabulary, where) for part in parts]
            with placed(where):
                yield sums(total, atoms, f"{whole} = {' + '.join(parts)}")


def _head_atoms(name: str, vocabulary: Vocabulary, where: str) -> Sequence[Atom]:
    """All classes of a head, in order."""
    with placed(where):
        atoms = vocabulary.resolve(name.split("."))
    if len(atoms) < 2 or vocabulary.heads[atoms[0].head].binary:
        raise RecipeError(f"{where}: `{name}` is no softmax head, whose classes could be numbers.")
    return atoms


def _rules(section: KnowledgeSection, vocabulary: Vocabulary) -> Iterator[Rule]:
    for name, spec in section.rules.items():
        where, settings = f"{WHERE}.rules.{name}", _settings(name, spec)
        formula = parse(settings.pop("holds"), vocabulary.resolve, where)
        with placed(where, by="."):
            yield Rule(str(name), formula, **settings)


def _settings(name: str, spec: Any) -> dict[str, Any]:
    """Those of a rule; `holds` is a text."""
    where = f"{WHERE}.rules.{name}"
    settings: Any = {"holds": spec} if isinstance(spec, str) else spec
    if not isinstance(settings, Mapping) or not isinstance(settings.get("holds"), str):
        raise RecipeError(f"{where} is {spec!r}; expected a formula, or {{holds: formula, weight: ..., priority: ...}}.")
    unknown = sorted(set(settings) - set(RULE))
    if unknown:
        raise RecipeError(f"{where}: there is no setting {unknown[0]!r}; {did_you_mean(unknown[0], RULE)}")
    return dict(settings)


def _atom(name: str, vocabulary: Vocabulary, where: str) -> Atom:
    with placed(where):
        atoms = vocabulary.resolve(name.split("."))
    if len(atoms) > 1:
        raise RecipeError(f"{where}: `{name}` is a head; name one of its classes, as in `{atoms[0]}`.")
    return atoms[0]


@contextmanager
def placed(where: str, by: str = ": ") -> Iterator[None]:
    """A ValueError inside becomes a RecipeError with its place."""
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"{where}{by}{error}{'' if str(error)[-1] in '.?' else '.'}") from None
