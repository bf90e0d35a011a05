"""What flows through a training step: batches, outputs and the step a term sees. Frozen dataclasses with shape checks.

Shapes: B samples, R rows (what a loss averages over: images R = B, language R = kept tokens), C classes or candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from kdzoo.errors import PluginError, did_you_mean
from kdzoo.protocol.forms import Form
from kdzoo.random import Streams

T = TypeVar("T")
MAIN = "main"
"""Name of the view that every batch has: the inputs themselves."""
ENGINE = ""
"""Where the engine keeps its own things in a stash; no method can have this label."""


def map_tensors(function: Callable[[Tensor], Tensor], tree: T) -> T:
    """Apply `function` to every tensor in a tree of tuples, lists, mappings and dataclasses; leave the rest alone."""
    if isinstance(tree, Tensor):
        return cast(T, function(tree))
    if isinstance(tree, Mapping):
        return cast(T, {key: map_tensors(function, value) for key, value in tree.items()})
    if isinstance(tree, tuple | list):
        return cast(T, type(tree)(map_tensors(function, item) for item in tree))
    if is_dataclass(tree) and not isinstance(tree, type):
        moved = {f.name: map_tensors(function, getattr(tree, f.name)) for f in fields(tree) if f.init}
        return cast(T, replace(tree, **moved))
    return tree


@dataclass(frozen=True)
class Rows:
    """The rows that a loss averages over.

    Attributes:
        scores: (R, C), or a form of them; `logits` is the matrix, made when it is asked for.
        target: (R,) class indices or (R, C) probabilities.
        weight: (R,), what each row counts in every loss; None counts all alike.
        label_weight: (R,), what it counts in losses against the labels, 0 for a row without a label; None is `weight`.
    """

    scores: Tensor | Form
    target: Tensor | None = None
    weight: Tensor | None = None
    label_weight: Tensor | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.scores.shape)
        if len(shape) != 2:
            raise PluginError(f"logits of an Output must be (rows, classes), got shape {shape}.")
        for name in ("target", "weight", "label_weight"):
            value = getattr(self, name)
            if value is not None and value.shape[0] != shape[0]:
                raise PluginError(f"{name} has {value.shape[0]} rows but the logits have {shape[0]}; they must agree.")

    @property
    def logits(self) -> Tensor:
        """The scores as a matrix (R, C)."""
        return self.scores if isinstance(self.scores, Tensor) else self.scores.dense()

    @property
    def width(self) -> int:
        """Classes, C."""
        return int(self.scores.shape[1])

    @property
    def device(self) -> torch.device:
        return self.scores.device

    def detach(self) -> Rows:
        """The same without gradients."""
        scores = self.scores.detach() if isinstance(self.scores, Tensor) else map_tensors(Tensor.detach, self.scores)
        target, weight, label_weight = (v if v is None else v.detach() for v in (self.target, self.weight, self.label_weight))
        return Rows(scores, target, weight, label_weight)

    @property
    def weight_of_labels(self) -> Tensor | None:
        """What each row counts in a loss against its label."""
        return self.weight if self.label_weight is None else self.label_weight


@dataclass(frozen=True)
class Output:
    """A model's answer in task-neutral form: rows, tapped features by tap, and further heads, which may be rows themselves.

    `reads` names the head that stands in the place of the rows, where a method reads one; None for the task's main rows.
    """

    rows: Rows
    features: Mapping[str, Tensor] = field(default_factory=dict)
    heads: Mapping[str, Tensor | Rows] = field(default_factory=dict)
    reads: str | None = None

    def detach(self) -> Output:
        """The same without gradients."""
        features = {name: feature.detach() for name, feature in self.features.items()}
        heads = {name: head.detach() for name, head in self.heads.items()}
        return Output(self.rows.detach(), features, heads, self.reads)

    def tensor(self, head: str) -> Tensor:
        """A head that is a plain tensor."""
        found = self.heads[head]
        if not isinstance(found, Tensor):
            raise PluginError(f"the head {head!r} is made of rows; read it by the setting `reads`, or as `heads[{head!r}]`.")
        return found


@dataclass(frozen=True)
class Batch:
    """One optimizer step's samples, or one micro-batch of them.

    `inputs` is any tree of tensors, `views` holds further inputs by view name, `extra` what a method's `prepare` wrote.
    `micros` are the micro-batches that the step trains on, numbered by `part`. `answers[teacher][view]` keeps what frozen
    teachers said of this micro-batch until it has been trained on. `size` counts this batch's samples, `whole` those of the
    optimizer step over all micro-batches and processes; `epoch` and `number` say where it stands in the run.
    """

    inputs: Any
    size: int
    target: Any = None
    index: Tensor | None = None
    views: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    answers: dict[str, dict[str, Output]] = field(default_factory=dict, compare=False)
    micros: tuple[Batch, ...] = ()
    whole: int = 0
    epoch: int = 0
    number: int = 0
    part: int = 0

    def view(self, name: str) -> Any:
        """The inputs of a view; `main` is the batch's own."""
        if name == MAIN:
            return self.inputs
        if name not in self.views:
            raise PluginError(f"the batch has no view {name!r}; declare it in Needs.views ({did_you_mean(name, self.views)})")
        return self.views[name]


@dataclass(frozen=True)
class Pair:
    """What a transform changes: the student's rows and the teacher's (None for a method without a teacher).

    `scale` multiplies the terms of the method: a transform that divides logits by a temperature gives the T^2 back here.
    `temperature` is the one at which the method will compare the logits: its attribute of that name, 1 where it has none. A
    transform that works on probabilities reads them at it, and gives back logits that have its result there.
    """

    student: Rows
    teacher: Rows | None = None
    scale: Tensor | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class Progress:
    """Where a stage stands: whole epochs done, batches done in this epoch, and how many there will be."""

    epoch: int
    epochs: int
    batch: int
    batches: int

    @property
    def step(self) -> int:
        return self.epoch * self.batches + self.batch

    @property
    def steps(self) -> int:
        return self.epochs * self.batches


@dataclass(frozen=True)
class Step:
    """What one method may know of one micro-batch after the forwards.

    Its rows already carry that method's transforms; its features hold exactly the taps that the method declared.
    `views` are further (student, teachers) answers by view name. `stash` is where a term leaves by-products. `samples` is the
    engine's own copy of the sample indices, behind `uniform`. `losses` is there in `after_step` alone: the value of each
    term of all methods that was evaluated, by `<label>.<term>`.
    """

    batch: Batch
    learner: str
    student: Output
    teachers: Mapping[str, Output]
    peers: Mapping[str, Output]
    progress: Progress
    stage: str
    streams: Streams
    supervise: Callable[[Output], Tensor]
    views: Mapping[str, Step] = field(default_factory=dict)
    label: str = ""
    samples: Tensor | None = None
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    stash: dict[Any, Any] = field(default_factory=dict)
    _cache: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def teacher(self) -> Output:
        """The method's teacher: the one its `teacher` setting picked, or the only one."""
        if len(self.teachers) != 1:
            raise PluginError(
                f"methods.{self.label} asks for its teacher, but there are {len(self.teachers)} "
                f"({', '.join(self.teachers) or 'none'}); set methods.{self.label}.teacher, or declare Needs(teacher=True)."
            )
        return next(iter(self.teachers.values()))

    @property
    def index(self) -> Tensor:
        """Sample indices (B,) into the training split; there only if declared by `Needs(index=True)`."""
        if self.batch.index is None:
            raise PluginError(f"methods.{self.label} reads sample indices that it did not declare; set Needs(index=True).")
        return self.batch.index

    def generator(self, name: str) -> torch.Generator:
        """A generator on the batch's device that gives the same numbers each time this step asks for `name`."""
        batch, device = self.batch, self.student.rows.device
        return self.streams.generator(
            "method", self.label, name, self.stage, self.learner, batch.epoch, batch.number, batch.part, device=device
        )

    def uniform(self, name: str, draws: int) -> Tensor:
        """Uniform numbers in [0, 1), (B, draws) on the batch's device, the same each time this step asks for `name`.

        A sample's row depends on the sample, the epoch and the name, so it does not change when a batch is split.
        """
        assert self.samples is not None
        return self.streams.uniform(self.samples, draws, "method", self.label, name, self.stage, self.learner, self.batch.epoch)

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """`compute()` once for this step as this method sees it."""
        if key not in self._cache:
            self._cache[key] = compute()
        return cast(T, self._cache[key])
