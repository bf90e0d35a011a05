"""What a hook may use of the run that it is called in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import MAIN, Batch, Output, Progress, Step
from kdzoo.protocol.task import Task
from kdzoo.random import Streams

Parameters = Mapping[str, Tensor]
Weights = Mapping[str, Mapping[str, float]]
Counts = Mapping[str, float]


class Labeled(Protocol):
    """A method, as far as the run needs to know it: its label in the recipe and the teacher that its settings chose."""

    label: str
    teacher: str | None


class NumberFormat(Protocol):
    """The number format of forwards, and how gradients are scaled against underflow in fp16 (the identity otherwise)."""

    @property
    def scale(self) -> float:
        """What `scaled` multiplies by now."""

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss to call `backward()` on."""

    def autocast(self) -> AbstractContextManager[object]:
        """The number format of forwards, for a block."""


class Processes(Protocol):
    """The processes of a run under torchrun; one otherwise."""

    size: int
    rank: int

    def chunk(self, index: Tensor) -> Tensor:
        """This process's part of a batch's sample indices."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Concatenate along the first dimension over the processes, differentiably."""

    def total(self, value: float) -> float:
        """The sum of a number over the processes."""

    def reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum `.grad` over the processes."""


class RunContext(Protocol):
    """A run as the hooks of methods and teachers see it.

    All hooks of methods and teachers get one. What stands here is what a plugin may rely on.
    """

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Mapping[str, Any]:
        """The resolved recipe."""

    @property
    def task(self) -> Task:
        """The task, opened."""

    @property
    def device(self) -> torch.device:
        """Where models and batches are."""

    @property
    def streams(self) -> Streams:
        """Random numbers by name; see `kdzoo.random`."""

    @property
    def precision(self) -> NumberFormat:
        """The number format, for a hook that calls `backward()` itself."""

    @property
    def processes(self) -> Processes:
        """The processes of the run."""

    @property
    def needs(self) -> Needs:
        """The merged needs of all methods."""

    @property
    def learners(self) -> Mapping[str, nn.Module]:
        """Models that are trained, by name; the first one is the student."""

    @property
    def teachers(self) -> Mapping[str, Any]:
        """Teachers by name."""

    @property
    def methods(self) -> Mapping[str, nn.Module]:
        """Methods by label, in recipe order."""

    @property
    def student(self) -> nn.Module:
        """The first learner: the one that is deployed unless a method says otherwise."""

    @property
    def first(self) -> str:
        """Name of the first learner."""

    @property
    def samples(self) -> int:
        """Samples in the training split (the range of sample indices)."""

    @property
    def classes(self) -> int:
        """Width of the student's logits."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Width of the logits of each learner and teacher."""

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Optimizers of the present stage, by learner or trainable teacher."""

    @property
    def rates(self) -> Mapping[str, dict[str, float]]:
        """The optimizers' numbers as they stand (`lr`, `momentum`, ...)."""

    @property
    def norms(self) -> Mapping[str, Tensor]:
        """Norm of the last gradient of each role before clipping, where `optimize` had a limit."""

    @property
    def stage(self) -> str:
        """Name of the present stage; the last one is `main`."""

    @property
    def progress(self) -> Progress:
        """Where the stage stands."""

    @property
    def precomputed(self) -> dict[tuple[str, int, int], Mapping[str, Output]]:
        """(learner, batch, micro-batch) -> its answers by view on the coming step, if `update_teacher` leaves them there."""

    @property
    def weights_now(self) -> Mapping[str, Mapping[str, float]]:
        """Label -> term -> weight as it stands."""

    @property
    def tap_keys(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """(label, role) -> name that the method uses -> tap of the model."""

    def trained(self, settings: Mapping[str, Any], *, which: str) -> nn.Module:
        """The deployed module of a recipe that is a teacher here, with the `last` or `best` epoch's weights."""

    # -- about a method ----------------------------------------------------------------------------------------------

    def model(self, role: str) -> nn.Module:
        """The module behind a learner's or teacher's name."""

    def teacher_of(self, method: Labeled) -> str:
        """Name of the method's teacher: its `teacher` setting or the only one."""

    def shapes(self, method: Labeled, role: str = "student") -> dict[str, tuple[int, ...]]:
        """Shape without the batch dimension of each tap that `method` declared on a learner or teacher."""

    def trainable(self, learner: str | None = None) -> dict[str, nn.Parameter]:
        """What a learner's optimizer may train, by name; the first learner's includes `methods.<label>.*`."""

    def view(self, step: Step, method: Any) -> Step:
        """What one method may see of a step."""

    # -- asking ------------------------------------------------------------------------------------------------------

    def micros(self, batch: Batch) -> Sequence[Batch]:
        """The micro-batches of an optimizer step, numbered."""

    def counts(self, micros: Sequence[Batch]) -> Counts:
        """What losses average over, by name, in all micro-batches and processes of an optimizer step."""

    def weights(self, micro: Batch | None = None, counts: Counts | None = None) -> Weights:
        """The weights that hold now; for a micro-batch, times its share of the optimizer step's denominators."""

    def share(self, micro: Batch, counts: Counts, over: str) -> float:
        """A micro-batch's share of a denominator of the optimizer step."""

    def forward(
        self,
        role: str,
        batch: Batch,
        params: Parameters | None = None,
        buffers: Parameters | None = None,
        *,
        view: str = MAIN,
        commit: bool | None = None,
    ) -> Output:
        """A model's answer on one view of a batch, with its taps."""

    def answer(
        self,
        name: str,
        batch: Batch,
        *,
        view: str = MAIN,
        student: Output | None = None,
        peers: Mapping[str, Output] | None = None,
        grad: bool = False,
    ) -> Output:
        """A teacher's answer; with a graph only if `grad`."""

    def step(
        self,
        batch: Batch,
        *,
        learner: str = "student",
        params: Parameters | None = None,
        teacher_grad: bool = False,
        student: Output | Mapping[str, Output] | None = None,
        peers: Mapping[str, Output] | None = None,
        view: str = MAIN,
    ) -> Step:
        """The forwards of one learner on one micro-batch, with all teachers' answers."""

    def total(
        self, step: Step, weights: Weights | None = None, method_params: Parameters | None = None, *, commit: bool = True
    ) -> Tensor:
        """The weighted sum of all active terms on a step."""

    def objective(
        self,
        batch: Batch,
        *,
        learner: str = "student",
        student_params: Parameters | None = None,
        teacher_grad: bool = False,
        weights: Weights | None = None,
    ) -> tuple[Tensor, Step]:
        """Forward and total in one: the loss that training minimizes, and the step behind it."""

    # -- acting ------------------------------------------------------------------------------------------------------

    def optimize(self, role: str, loss: Tensor | None = None, *, clip: float | None = None) -> bool:
        """Step the optimizer of a learner or trainable teacher on the gradients at hand; False if fp16 overflowed."""

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor over all processes, concatenated along its first dimension; differentiable."""

    def note(self, **values: float | Tensor) -> None:
        """Numbers a method wants in the log of this epoch (a meta-gradient's norm, a temperature)."""
