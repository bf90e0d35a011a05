"""The method protocol: what a distillation method needs, adds to the loss, does to the teacher, and leaves to deploy.

A method is an `nn.Module`, so its adapters, memory banks and learned temperatures move, train and checkpoint with no further
hook. Its hyper-parameters are its keyword-only signature, with the paper's defaults. The three hooks to remember: a `@term`
(the loss), `update_teacher`, and any float attribute, which a recipe may bind to a schedule. `docs/method.md` has the laws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from kdzoo.errors import PluginError
from kdzoo.protocol.outputs import Batch, Pair, Step

if TYPE_CHECKING:
    from kdzoo.engine.run import Run

Over = Literal["rows", "samples"]
F = TypeVar("F", bound=Callable[..., Tensor])


@dataclass(frozen=True)
class Term:
    """A named loss of a method: its default weight, and what it is a mean over (its declared denominator)."""

    name: str
    weight: float
    over: Over


def term(weight: float = 1.0, *, over: Over = "rows") -> Callable[[F], F]:
    """Mark a method's function `(self, step) -> Tensor` as a loss term: a scalar, the mean over the rows of its step.

    Args:
        weight: default weight in the total; a recipe changes it by `weights: {name: ...}`.
        over: the denominator of the mean, `rows` or `samples`; the engine weighs micro-batches by their share of it.
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


class Transform(nn.Module):
    """A pure change of the logits or targets that one method sees. Subclasses define `forward(pair, step) -> Pair`.

    It may hold parameters (a learned temperature); they train with its method.
    """

    kdzoo_kind: ClassVar[str] = "transforms"

    def forward(self, pair: Pair, step: Step) -> Pair:
        raise NotImplementedError


class Method(nn.Module):
    """Base of every method, built in or not. All hooks have a default; override what the paper needs."""

    kdzoo_kind: ClassVar[str] = "methods"
    kdzoo_terms: ClassVar[Mapping[str, Term]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        names = [name for base in reversed(cls.__mro__) for name in vars(base)]
        marked = {name: getattr(getattr(cls, name), "kdzoo_term", None) for name in dict.fromkeys(names)}
        cls.kdzoo_terms = {name: found for name, found in marked.items() if found is not None}

    def __init__(self) -> None:
        super().__init__()
        self.label = ""
        self.teacher: str | None = None
        self.weights = {name: found.weight for name, found in self.kdzoo_terms.items()}
        self.logits = nn.ModuleList()
        self.targets = nn.ModuleList()

    # -- what an author overrides, in the engine's order -------------------------------------------------------------

    def needs(self) -> Needs:
        """What this method needs; asked before anything is built."""
        return Needs()

    def setup(self, run: Run) -> None:
        """Build adapters and banks: the models exist (`run.shapes`), the optimizers do not."""

    def stages(self) -> Sequence[Stage]:
        """Stages before the main one."""
        return ()

    def prepare(self, batch: Batch, run: Run) -> Batch:
        """Change the batch before any forward, the frozen teachers' included. No grad."""
        return batch

    def update_teacher(self, window: Sequence[Batch], run: Run) -> None:
        """Move the teacher, once per window, before the student steps on it."""

    def after_step(self, steps: Sequence[Step], run: Run) -> None:
        """After the optimizer really stepped; all micro-batches' steps of the first learner, detached. No grad."""

    def deploy(self, run: Run) -> nn.Module | None:
        """The module to evaluate and export, if it is not the student itself."""
        return None

    # -- what the engine calls ---------------------------------------------------------------------------------------

    def forward(self, step: Step, terms: Sequence[str]) -> dict[str, Tensor]:
        """The named terms on this method's view of the step. One entry, so that parameters can be substituted."""
        step, scale = self._transformed(step)
        values = {}
        for name in terms:
            value = getattr(self, name)(step)
            if not isinstance(value, Tensor) or value.ndim != 0:
                found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(type(value).__name__)
                raise PluginError(f"term methods.{self.label}.{name} must be a scalar, the mean over its rows, got {found}.")
            values[name] = value if scale is None else value * scale
        return values

    def _transformed(self, step: Step) -> tuple[Step, Tensor | None]:
        """The step with its rows transformed, and the factor that the transforms put on this method's terms."""
        if not len(self.logits) and not len(self.targets):
            return step, None
        name, teacher = next(iter(step.teachers.items()), (None, None))
        pair = Pair(step.student.rows, teacher.rows if teacher is not None else None)
        for transform in (*self.logits, *self.targets):
            pair = transform(pair, step)
        teachers = dict(step.teachers)
        if name is not None and teacher is not None and pair.teacher is not None:
            teachers[name] = replace(teacher, rows=pair.teacher)
        views = {view: self._transformed(seen)[0] for view, seen in step.views.items()}
        student = replace(step.student, rows=pair.student)
        return replace(step, student=student, teachers=teachers, views=views, _cache={}), pair.scale


def overrides(method: Method, hook: str) -> bool:
    """Whether the method's class defines `hook` itself."""
    return getattr(type(method), hook) is not getattr(Method, hook)
