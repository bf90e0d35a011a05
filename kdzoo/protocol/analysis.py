"""The role of an analysis: numbers and figures from finished runs.

An analysis says what it wants to see of a run (`wants`), and makes findings of it (`analyze`). The engine measures each run
once for the union of what all analyses of a command want, in full precision, and gives each what it declared, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.protocol.figures import Figure

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, kw_only=True)
class Wants:
    """What an analysis wants to see of each run.

    Attributes:
        splits: `train`, `validation`, `test`; the inputs are those of evaluation, without augmentation.
        taps: features that are kept for every sample, by tap name or module path; `stages` and `last` are groups.
        classifier: the last linear layer.
        teacher: the same of the run's first teacher, on the same samples.
        module: the networks themselves.
        epochs: the student at the end of earlier epochs, as far as checkpoints are there.
        samples: how many samples of each split suffice, a fixed selection that all runs on one data set share; None is all.
        draws: answers to so many draws of the training augmentation, of the samples of `train`.
        capabilities: what the task must have, in the words of `Task.capabilities`.
    """

    splits: tuple[str, ...] = (TEST,)
    taps: tuple[str, ...] = ()
    classifier: bool = False
    teacher: bool = False
    module: bool = False
    epochs: bool = False
    samples: int | None = None
    draws: int = 0
    capabilities: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.draws and TRAIN not in self.splits:
            raise ValueError("draws are draws of the training augmentation: add 'train' to the splits")


@dataclass(frozen=True)
class Answers:
    """What a model said of one split: float32 on the CPU, a row a sample, in the order of the split.

    Attributes:
        index: (N,), the samples' places in the split.
        logits: (N, C); target: (N,) class indices, or whatever the task's rows have.
        features: tap -> (N, ...), in forward order.
        drawn: (N, L, C), logits of L draws of the augmentation; None where none were wanted.
    """

    index: Tensor
    logits: Tensor
    target: Tensor | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)
    drawn: Tensor | None = None


@dataclass(frozen=True)
class Classifier:
    """The last linear layer: logits = features @ weight.T + bias, weight (C, d)."""

    weight: Tensor
    bias: Tensor | None = None


@dataclass(frozen=True)
class MeasuredModel:
    """One model: its answers by split; its last layer and itself where they were wanted (in eval mode, not to be changed)."""

    splits: Mapping[str, Answers] = field(default_factory=dict)
    classifier: Classifier | None = None
    module: nn.Module | None = None


@dataclass(frozen=True)
class Measured:
    """A run as an analysis sees it.

    Attributes:
        name: what tables and figures call it; folder: where it lies; settings: its resolved recipe.
        student: what the run deploys.
        teacher: the run's first teacher, where one is wanted.
        epochs: number of epochs trained -> the student then, without its final state; often empty, see `Wants.epochs`.
        trained: epochs of the student as it is.
        class_names: a name for each class.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]
    student: MeasuredModel
    teacher: MeasuredModel | None = None
    epochs: Mapping[int, MeasuredModel] = field(default_factory=dict)
    trained: int = 0
    class_names: Sequence[str] = ()

    @property
    def teaching(self) -> MeasuredModel:
        """The teacher. Raises CapabilityError for a run that has none."""
        if self.teacher is None:
            raise CapabilityError(f"the run {self.name} has no teacher to compare with; analyze a run of a recipe with one.")
        return self.teacher

    def over_epochs(self) -> dict[int, MeasuredModel]:
        """Number of epochs trained -> the student then, the one that the run deploys last."""
        return {**self.epochs, self.trained: self.student}

    def models(self) -> dict[str, MeasuredModel]:
        """The student, and the teacher where it was measured, by role."""
        return {"student": self.student} | ({"teacher": self.teacher} if self.teacher is not None else {})


@dataclass(frozen=True)
class Table:
    """Rows under headers; numbers are shown with four digits."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Findings:
    """What an analysis found.

    Attributes:
        values: JSON data by name, by run first where they are of one run; NaN becomes null.
        tables, figures: what people look at.
        notes: what one has to know of them: what was left out, and why.
    """

    values: Mapping[str, Any]
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()


class Analysis:
    """Base of every analysis. A constructor's keyword-only arguments are its settings, as of any plugin.

    Attributes:
        fewest: how many runs it compares at least.
    """

    kdzoo_kind: ClassVar[str] = "analyses"
    fewest: ClassVar[int] = 1

    def wants(self) -> Wants:
        """What it wants to see of each run."""
        raise NotImplementedError

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        """The findings on all runs together; the runs are not to be changed.

        What cannot be analyzed (a class without samples, say) is either left out with a note, or a CapabilityError whose
        sentence names the run.
        """
        raise NotImplementedError
