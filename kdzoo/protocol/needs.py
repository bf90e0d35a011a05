"""What a method declares: its terms and their denominators, its needs, and the stages of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from torch import Tensor

F = TypeVar("F", bound=Callable[..., Tensor])
ROWS, LABELS, SAMPLES = "rows", "labels", "samples"
"""Denominators that every task has: the rows of an output, those of them that have a label, and the samples."""

MAIN_STAGE = "main"
"""Name of the last stage, in which all methods take part."""


@dataclass(frozen=True)
class Term:
    """A named loss of a method: its default weight, and what it is a mean over (its declared denominator)."""

    name: str
    weight: float
    over: str


def term(weight: float = 1.0, *, over: str = ROWS) -> Callable[[F], F]:
    """Mark a method's function `(self, step) -> Tensor` as a loss term: a scalar, the mean over the rows of its step.

    Args:
        weight: default weight in the total; a recipe changes it by `weights: {name: ...}`.
        over: the denominator of the mean: `rows`, `labels`, `samples`, or another name in the task's `counts`. The engine
            weighs micro-batches by their share of it, and does not evaluate a term that has nothing to average.
    """

    def mark(function: F) -> F:
        function.kdzoo_term = Term(function.__name__, weight, over)  # type: ignore[attr-defined]
        return function

    return mark


@dataclass(frozen=True)
class Needs:
    """What a method needs from the engine. Undeclared things are not there.

    Attributes:
        student_taps, teacher_taps: tap names (`stage2`, `pooled`), groups (`stages`, `last`) or module paths.
        teacher: a teacher's answers.
        aligned: the teacher is compared class by class (or row by row) with the student, so `Task.align` must accept it. False
            for methods that compare features or relations: their teacher may have other classes.
        rows: terms read logits, the student's or the teacher's, as `reads`, `logits` and `targets` of a recipe change them;
            without that these are refused. None: a method does that compares its teacher (`aligned`), or has none.
        numbers: logits may also be numbers to predict. A method that is compared row by row and does not say so takes them for
            distributions, so a task without these (`Task.distributions`) refuses it.
        teacher_grad: the teacher must be trainable (moved by this method).
        teacher_mode: mode in which a trainable teacher answers; a frozen one is always in eval mode.
        index: sample indices into the training split, and `run.samples`, its size.
        views: further views of each sample, by name, as the task offers them.
        splits: extra splits held out of training, as name -> fraction (`{"quiz": 0.1}`).
        window: batches per window, for `update_teacher`.
        learners: models trained together.
        turns: whether several learners step together or one after the other with fresh outputs.
        whole_batch: terms relate samples to each other. The engine joins the batch over processes and refuses accumulation.
        capabilities: what the task must offer, e.g. `features`.
    """

    student_taps: Sequence[str] = ()
    teacher_taps: Sequence[str] = ()
    teacher: bool = False
    aligned: bool = True
    rows: bool | None = None
    numbers: bool = False
    teacher_grad: bool = False
    teacher_mode: Literal["eval", "train"] | None = None
    index: bool = False
    views: frozenset[str] = frozenset()
    splits: Mapping[str, float] = field(default_factory=dict)
    window: int | None = None
    learners: int = 1
    turns: Literal["together", "in_turn"] | None = None
    whole_batch: bool = False
    capabilities: frozenset[str] = frozenset()

    @property
    def reads_rows(self) -> bool:
        """What `rows` says, or stands for."""
        return (self.aligned or not self.teacher) if self.rows is None else self.rows


@dataclass(frozen=True)
class Taps:
    """Taps of the student and of the teacher that a method asks for once the models are there (the depth decides which).

    A method that asks for taps only so says `Needs(capabilities=frozenset({"features"}))`, for the check before.
    """

    student: Sequence[str] = ()
    teacher: Sequence[str] = ()


@dataclass(frozen=True)
class Stage:
    """A consecutive part of a run that comes before the main stage.

    Attributes:
        name: shown in logs.
        epochs: its length.
        weights: the terms of this method that are active, with their weights; all other terms of the run rest.
        trains: globs over `student.<parameter>` and `methods.<label>.<parameter>` (`self` stands for this method's own
            label: `self.*`), naming what the stage's fresh optimizer trains.
        lr: rate of that optimizer; None keeps the recipe's.
        student_mode: `eval` keeps the student's BatchNorm statistics and dropout still.
    """

    name: str
    epochs: int
    weights: Mapping[str, float]
    trains: Sequence[str] = ("student.*", "self.*")
    lr: float | None = None
    student_mode: Literal["train", "eval"] = "train"
