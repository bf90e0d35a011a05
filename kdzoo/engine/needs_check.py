"""Merge the needs of a run's methods and check them against the task, before any model is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdzoo.errors import CapabilityError, RecipeError, did_you_mean
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.teacher import Teacher

LOGITS_AND_LABELS = frozenset({"student", "teacher", "labels"})
"""What a transform may change."""


def merge(needs: Mapping[str, Needs]) -> Needs:
    """One `Needs` for the run: booleans by or, sets by union; a conflict is an error that names both methods."""
    splits: dict[str, float] = {}
    for label, need in needs.items():
        for name, size in need.splits.items():
            if splits.setdefault(name, size) != size:
                other = next(o for o, n in needs.items() if n.splits.get(name, size) != size)
                raise RecipeError(
                    f"methods.{other} and methods.{label} want the split {name!r} in different sizes "
                    f"({needs[other].splits[name]:g} and {size:g}); set one size for both."
                )
    return Needs(
        teacher=any(n.teacher for n in needs.values()),
        teacher_grad=any(n.teacher_grad for n in needs.values()),
        teacher_mode=_agreed(needs, "teacher_mode"),
        index=any(n.index for n in needs.values()),
        views=frozenset().union(*(n.views for n in needs.values())),
        splits=splits,
        window=_agreed(needs, "window"),
        learners=max((n.learners for n in needs.values()), default=1),
        turns=_agreed(needs, "turns"),
        whole_batch=any(n.whole_batch for n in needs.values()),
        capabilities=frozenset().union(*(n.capabilities for n in needs.values())),
    )


def check(needs: Mapping[str, Needs], capabilities: frozenset[str], *, task: str, accumulate: int) -> None:
    """Refuse, with a sentence, a method that the task or the training settings cannot serve."""
    for label, need in needs.items():
        wanted = set(need.capabilities)
        wanted |= {"features"} if need.student_taps or need.teacher_taps else set()
        wanted |= {"index"} if need.index else set()
        wanted |= {"views"} if need.views else set()
        wanted |= set(need.splits)
        missing = sorted(wanted - capabilities)
        if missing:
            raise CapabilityError(
                f"methods.{label} needs {', '.join(missing)}, which task {task!r} does not offer "
                f"(it offers {', '.join(sorted(capabilities))}); use another task or remove the method."
            )
        if need.whole_batch and accumulate > 1:
            raise CapabilityError(
                f"methods.{label} relates the samples of a whole batch to each other, so micro-batches would change its loss; "
                f"set train.accumulate=1 (it is {accumulate}) or remove the method."
            )


def check_kept(teachers: Mapping[str, Teacher], changing: Sequence[str]) -> None:
    """Refuse a teacher that keeps its answers where these settings of the task change the inputs from epoch to epoch."""
    for name, teacher in teachers.items():
        if teacher.keeps and changing:
            paths = " and ".join(f"task.{setting}" for setting in changing) + (" change" if len(changing) > 1 else " changes")
            raise CapabilityError(
                f"teachers.{name} keeps its answers, but {paths} the inputs from epoch to epoch: switch "
                "that off (0 or false), or set teacher.use=frozen."
            )


def check_rows(needs: Mapping[str, Needs], *, distributions: bool) -> None:
    """Refuse a method that compares distributions where the task predicts numbers."""
    for label, need in needs.items():
        if need.teacher and need.aligned and not need.numbers and not distributions:
            raise CapabilityError(
                f"methods.{label} compares distributions, but this task predicts numbers, so its loss would mean nothing; "
                "use a method that compares numbers or features (it says `numbers` or not `aligned` in its needs)."
            )


def check_reading(methods: Mapping[str, Method], needs: Mapping[str, Needs], *, heads: frozenset[str] | None) -> None:
    """Refuse settings of rows that no term of the method reads, and a head that the task, by its `heads`, has not."""
    for label, method in methods.items():
        written = [name for name in ("reads", "logits", "targets") if getattr(method, name)]
        if written and not (needs[label].reads_rows and method.kdzoo_terms):
            raise RecipeError(
                f"methods.{label}.{written[0]} is read by nobody, as no term of the method looks at logits; remove it, or "
                "write it at a method whose terms do."
            )
        if method.reads and heads is not None and method.reads not in heads:
            raise RecipeError(
                f"methods.{label}.reads: the task has no head {method.reads!r}; {did_you_mean(method.reads, heads)}"
            )


def check_views(needs: Mapping[str, Needs], offered: frozenset[str] | None) -> None:
    """Refuse a method that asks for a view that the task has not."""
    for label, need in needs.items():
        unknown = sorted(need.views - offered) if offered is not None else []
        if offered is not None and unknown:
            raise CapabilityError(
                f"methods.{label} asks for the view {unknown[0]!r}, which this task lacks; {did_you_mean(unknown[0], offered)}"
            )


def check_transforms(methods: Mapping[str, Method], needs: Mapping[str, Needs]) -> None:
    """Refuse a transform of what its method does not read."""
    for label, method in methods.items():
        need = needs[label]
        read = {"student", "teacher"} if need.reads_rows else set()
        read -= set() if need.teacher else {"teacher"}
        for slot, parts in (("logits", read), ("targets", read | {"labels"})):
            for number, transform in enumerate(getattr(method, slot)):
                changes = transform.changes & ({"student", "teacher"} if slot == "logits" else LOGITS_AND_LABELS)
                if not changes & parts or not method.kdzoo_terms:
                    raise RecipeError(
                        f"methods.{label}.{slot}[{number}] is read by nobody: it changes {_changed(transform.changes)}, which "
                        "no term of the method reads there; remove it, or put it where it is read."
                    )


def _changed(parts: frozenset[str]) -> str:
    return " and ".join(part if part == "labels" else f"the {part}'s logits" for part in sorted(parts, reverse=True))


def check_teachers(methods: Mapping[str, Method], needs: Mapping[str, Needs], teachers: Mapping[str, Teacher]) -> None:
    """Refuse a method whose teacher is not there, is ambiguous, or cannot be moved."""
    for label, need in needs.items():
        chosen = methods[label].teacher
        if chosen is not None and chosen not in teachers:
            raise RecipeError(f"methods.{label}.teacher: there is no teacher {chosen!r}; {did_you_mean(chosen, teachers)}")
        if not need.teacher:
            if chosen is not None:
                raise RecipeError(f"methods.{label}.teacher is read by nobody: the method learns from no teacher; remove it.")
            continue
        if not teachers:
            raise CapabilityError(
                f"methods.{label} learns from a teacher, but the recipe names none; add e.g. "
                "`teacher: {use: frozen, model: {use: resnet56}, checkpoint: teacher.safetensors}`."
            )
        if chosen is None and len(teachers) > 1:
            raise RecipeError(f"there are several teachers ({', '.join(teachers)}); say which one by methods.{label}.teacher.")
        name = chosen or next(iter(teachers))
        if need.teacher_grad and not teachers[name].trains:
            raise CapabilityError(
                f"methods.{label} moves its teacher, but teacher {name!r} stands still; "
                f"use a trainable one: teacher.use=trainable, and give it an optimizer: optimizers.{name}."
            )


def _agreed(needs: Mapping[str, Needs], name: str) -> Any:
    first: tuple[str, Any] | None = None
    for label, need in needs.items():
        value = getattr(need, name)
        if value is None:
            continue
        first = first or (label, value)
        if value != first[1]:
            raise RecipeError(
                f"methods.{first[0]} needs {name} {first[1]!r} but methods.{label} needs {value!r}; "
                "they cannot share a run: remove one of them."
            )
    return first[1] if first else None
