"""The method protocol: what a distillation method needs, adds to the loss, does to the teacher, and leaves to deploy.

A method is an `nn.Module`, so its adapters, memory banks and learned temperatures move, train and checkpoint with no further
hook. Its hyper-parameters are its keyword-only signature, with the paper's defaults. The three hooks to remember: a `@term`
(the loss), `update_teacher`, and any float attribute, which a recipe may bind to a schedule. `docs/method.md` has the laws.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn

from kdzoo.errors import PluginError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import Needs, Stage, Taps, Term
from kdzoo.protocol.outputs import Batch, Pair, Step


class Transform(nn.Module):
    """A pure change of the logits or targets that one method sees. Subclasses define `forward(pair, step) -> Pair`.

    It may hold parameters (a learned temperature); they train with its method.

    Attributes:
        changes: what it may change: the `student`'s logits, the `teacher`'s, the `labels`. It is refused where its method
            reads none of them.
    """

    kdzoo_kind: ClassVar[str] = "transforms"
    changes: ClassVar[frozenset[str]] = frozenset({"student", "teacher", "labels"})

    def setup(self, run: RunContext, method: Method) -> None:
        """Build what it needs of the run, after its method's own `setup`: the models exist, the optimizers do not."""

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
        cls.__doc__ = _with_card(cls)

    def __init__(self) -> None:
        super().__init__()
        self.label = ""
        self.teacher: str | None = None
        self.reads: str | None = None
        self.weights = {name: found.weight for name, found in self.kdzoo_terms.items()}
        self.logits = nn.ModuleList()
        self.targets = nn.ModuleList()

    # -- what an author overrides, in the engine's order -------------------------------------------------------------

    def needs(self) -> Needs:
        """What this method needs; asked before anything is built."""
        return Needs()

    def further_taps(self, run: RunContext) -> Taps:
        """Further taps, which depend on the models: they exist (`run.model`), their shapes are not known yet."""
        return Taps()

    def setup(self, run: RunContext) -> None:
        """Build adapters and banks: the models exist (`run.shapes`), the optimizers do not."""

    def stages(self) -> Sequence[Stage]:
        """Stages before the main one."""
        return ()

    def prepare(self, batch: Batch, run: RunContext) -> Batch:
        """Change the batch before any forward, the frozen teachers' included. No grad."""
        return batch

    def first_batch(self, batch: Batch, run: RunContext) -> None:
        """Once in a run, on the first batch of the main stage, before the first `update_teacher` (CRD's constants). No grad."""

    def update_teacher(self, window: Sequence[Batch], run: RunContext) -> None:
        """Move the teacher, once per window, before the student steps on it."""

    def after_step(self, steps: Sequence[Step], run: RunContext) -> None:
        """After the optimizer really stepped; all micro-batches' steps of the first learner, detached. No grad."""

    def deploy(self, run: RunContext) -> nn.Module | None:
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
        pair = Pair(
            step.student.rows, teacher.rows if teacher is not None else None, temperature=getattr(self, "temperature", 1.0)
        )
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


def _with_card(method: type[Method]) -> str | None:
    """The docstring of a class that only lists its arguments, behind its module's: what it is, its formula, its paper."""
    own = inspect.cleandoc(method.__dict__.get("__doc__") or "")
    card = inspect.cleandoc(getattr(sys.modules.get(method.__module__), "__doc__", None) or "")
    return f"{card}\n\n{own}" if card and own.startswith("Args") else method.__doc__
