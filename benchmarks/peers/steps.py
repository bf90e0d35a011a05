"""The first training steps of a recipe, by kdzoo and by somebody else, on the same batches from the same weights, in float64.

An adapter builds the authors' networks and modules on a `Scene`, which gives them kdzoo's weights, and returns a function that
trains them on `scene.batches`. kdzoo trains by its own loop, with all stages and schedules of the recipe, in between.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import Loop
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import TrainedMicro
from kdzoo.protocol.needs import MAIN_STAGE
from kdzoo.protocol.outputs import Batch
from kdzoo.recipe.load import Recipe, load
from kdzoo.tasks.image_classification import ImageClassification

STEPS, BATCH, CLASSES = 2, 32, 100
Train = Callable[[], float | None]


@dataclass(frozen=True)
class Peer:
    """A method in somebody else's code.

    Attributes:
        extends: kdzoo's recipe of it.
        theirs: builds their side on a scene; what it returns trains it, and says the mean loss of the main stage (or None).
        recipe: what the compared recipe says besides. student, teacher: kdzoo's names of the networks.
        note: what is not as in their code, or ours, so that both can be compared. limit: of gaps that count as equal.
    """

    extends: str
    theirs: Callable[[Scene], Train]
    recipe: Mapping[str, Any] = field(default_factory=dict)
    student: str = "resnet20"
    teacher: str = "resnet8x4"
    note: str = ""
    limit: float = 1e-9


@dataclass(frozen=True)
class Gap:
    """How far both are apart.

    Attributes:
        loss: relative gap of the mean loss, or None where theirs is not told.
        parameters: largest gap of a parameter, relative to the largest step that any parameter took; adapters are among them.
        statistics: the same of the student's BatchNorm, or None where it has none.
    """

    loss: float | None
    parameters: float
    statistics: float | None

    @property
    def worst(self) -> float:
        return max(gap for gap in (self.loss, self.parameters, self.statistics) if gap is not None)


@dataclass
class Scene:
    """kdzoo's run before it trains, and the tensors of others that start as its own do.

    Attributes:
        batches: of each stage, in order, once kdzoo has trained.
    """

    run: Run
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    _parameters: list[Moved] = field(default_factory=list)
    _statistics: list[Moved] = field(default_factory=list)

    def student(self, net: nn.Module) -> nn.Module:
        """`net` with the student's weights and statistics; it must have the same layers in the same order."""
        ours = self.run.student
        taken_over(net, ours)
        self._parameters += [Moved(p, q) for p, q in zip(net.parameters(), ours.parameters(), strict=True)]
        pairs = zip(statistics(net), statistics(ours), strict=True)
        self._statistics += [Moved(p, q) for p, q in pairs]
        return net

    def teacher(self, net: nn.Module) -> nn.Module:
        """`net` with the teacher's weights and statistics, in eval mode."""
        taken_over(net, self.run.model("teacher"))
        return net.eval()

    def twins(self) -> tuple[nn.Module, nn.Module]:
        """Student and teacher in kdzoo's own networks, for code that takes any."""
        return self.student(copy.deepcopy(self.run.student)), self.teacher(copy.deepcopy(self.run.model("teacher")))

    def adapters(self, *parameters: nn.Parameter) -> None:
        """Give their adapters the start of kdzoo's: each parameter that of the first one left of its shape."""
        left = [p for method in self.run.methods.values() for p in method.parameters()]
        for parameter in parameters:
            at = next(number for number, p in enumerate(left) if p.shape == parameter.shape)
            with torch.no_grad():
                parameter.copy_(left[at])
            self._parameters.append(Moved(parameter, left.pop(at)))

    def optimizer(self, *modules: nn.Module) -> torch.optim.SGD:
        """The recipe's SGD on their modules."""
        said = {key: value for key, value in self.run.settings["optimizers"]["student"].items() if key != "use"}
        return torch.optim.SGD([p for module in modules for p in module.parameters()], **said)

    def gap(self, ours: float, theirs: float | None) -> Gap:
        """Both sides having trained: how far they are apart."""
        loss = None if theirs is None else abs(ours - theirs) / abs(theirs)
        return Gap(loss, largest(self._parameters), largest(self._statistics) if self._statistics else None)


class Moved:
    """A tensor of theirs, the one of ours beside it, and where both started."""

    def __init__(self, theirs: Tensor, ours: Tensor) -> None:
        self.theirs, self.ours, self.start = theirs, ours, ours.detach().clone()


def largest(pairs: Sequence[Moved]) -> float:
    """The largest gap relative to the largest step."""
    steps = max(float((p.theirs.detach() - p.start).abs().max()) for p in pairs)
    return max(float((p.theirs - p.ours).detach().abs().max()) for p in pairs) / steps


def statistics(net: nn.Module) -> list[Tensor]:
    """Running means and variances, in order."""
    return [buffer for name, buffer in net.named_buffers() if name.endswith(("running_mean", "running_var"))]


def taken_over(theirs: nn.Module, ours: nn.Module) -> None:
    """Our weights and statistics in their network."""
    with torch.no_grad():
        for p, q in zip(theirs.parameters(), ours.parameters(), strict=True):
            p.copy_(q)
        for p, q in zip(statistics(theirs), statistics(ours), strict=True):
            p.copy_(q)


class Recorded(Feed):
    """A feed that keeps its batches in a scene."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.run)
        self.scene = scene

    def windows(self, epoch: int, *, start: int, size: int) -> Iterator[list[Batch]]:
        for window in super().windows(epoch, start=start, size=size):
            self.scene.batches.setdefault(self.scene.run.stage, []).extend(window)
            yield window


class Losses(Observer):
    """The losses of the main stage."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def stepped(self, run: Run, position: Position, trained: Sequence[TrainedMicro]) -> None:
        if run.stage == MAIN_STAGE:
            weights = {f"{label}.{name}": weight for label, own in run.weights_now.items() for name, weight in own.items()}
            self.values.append(math.fsum(weights[n] * float(v) for micro in trained for n, v in micro.values.items()))


class Images64(ImageClassification):
    """Images in float64."""

    def _inputs(self, pixels: Tensor) -> Tensor:
        return super()._inputs(pixels).to(torch.get_default_dtype())


def compared(peer: Peer) -> Gap:
    """The first steps of a recipe by kdzoo and by `peer.theirs`."""
    registry.register("tasks", "images64", Images64)
    with in_float64():
        written = recipe(peer)
        scene = Scene(assemble(written.settings))
        with as_on_a_gpu():
            train = peer.theirs(scene)
        losses = Losses()
        plan = StagePlan.of(scene.run, written.settings["train"]["epochs"], scene.run.schedules)
        loop = Loop(scene.run, plan, Recorded(scene), losses, Position())
        while len(losses.values) < STEPS:
            loop.advance()
        loop.close()
        with as_on_a_gpu():
            theirs = train()
        return scene.gap(sum(losses.values) / STEPS, theirs)


def recipe(peer: Peer) -> Recipe:
    """kdzoo's recipe on random images, an epoch of which has as many steps as are compared."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (STEPS * BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (STEPS * BATCH,), generator=generator)
    labels[0] = CLASSES - 1
    data = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    written: dict[str, Any] = {
        "extends": peer.extends,
        "task": {"use": "images64", "data": {"use": "tensors", **data}, "crop": 4, "flip": True, "validation": 0},
        "student": peer.student,
        "train": {"batch_size": BATCH},
        "runtime": {"device": "cpu"},
    }
    if load(peer.extends).settings["teachers"]:
        written["teacher"] = {"use": "frozen", "recipe": None, "model": peer.teacher}
    return load(written | dict(peer.recipe))


@contextmanager
def in_float64() -> Iterator[None]:
    """New tensors are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Code that asks for float32 gets float64, and `.cuda()` stays where it is."""
    before = Tensor.float, Tensor.cuda, nn.Module.cuda
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    Tensor.cuda = nn.Module.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        Tensor.float, Tensor.cuda, nn.Module.cuda = before  # type: ignore[method-assign]


def stepped(optimizer: torch.optim.Optimizer, losses: Iterable[Tensor]) -> float:
    """An optimizer step on each loss as it comes; their mean."""
    values = []
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    return sum(values) / len(values)


def absent(*names: str) -> None:
    """Stand-ins for modules that only load data or write logs."""
    for name in names:
        sys.modules.setdefault(name, MagicMock(__spec__=ModuleSpec(name, None)))
