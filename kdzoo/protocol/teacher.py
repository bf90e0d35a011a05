"""The role of a teacher: whoever supplies reference outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from torch import nn

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.protocol.task import Model

T = TypeVar("T")


class RecipeSettings(Protocol):
    """See `kdzoo.protocol.roles.RecipeRef`."""

    settings: Mapping[str, Any]


class Teacher(nn.Module):
    """Base of every teacher.

    Attributes:
        frozen: its answers depend on the batch alone, so it is asked once for each micro-batch, whoever wants to know. Runs
            that see the same samples share it, so it is built once: from its settings and the task, and from no learner.
        trains: it has an optimizer of its own (`optimizers: {<name>: ...}`), which a method's `update_teacher` steps.
        keeps: it asks once for each sample and keeps the answer, so inputs must not change from epoch to epoch.
        model: the module behind it, if there is one; spec, recipe: how it is built or trained, which is known before.
    """

    kdzoo_kind: ClassVar[str] = "teachers"
    frozen: ClassVar[bool] = True
    trains: ClassVar[bool] = False
    keeps: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.model: nn.Module | None = None
        self.spec: Model | None = None
        self.recipe: RecipeSettings | None = None

    def build(self, run: RunContext) -> None:
        """Build or load the model; the learners exist."""

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        """The teacher's output on one view of a batch. Whether gradients flow is the caller's business.

        Args:
            student: the learner's own answer, detached, for a teacher that corrects it; None for a frozen teacher, and where
                a hook asks without having one.
            peers: the other learners' answers, detached.
        """
        return run.forward(self.name, batch, view=view)

    def evaluated(self, run: RunContext, split: str, evaluate: Callable[[], T]) -> T:
        """The evaluation of the teacher's model on a split; a teacher that does not move may know it from an earlier run."""
        return evaluate()

    def remarks(self) -> Sequence[str]:
        """Sentences that a run says at its start, once the teacher is built."""
        return ()

    def after_step(self, run: RunContext) -> None:
        """After the learners stepped (moving averages)."""
