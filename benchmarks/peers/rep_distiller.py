"""Training steps of RepDistiller's own loop against kdzoo's, on the same batches from the same weights, in float64.

    git clone https://github.com/HobbitLong/RepDistiller
    python -m benchmarks.peers.rep_distiller RepDistiller

For each method the checkout's `helper.loops.train_distill` trains its own networks by its own losses; kdzoo trains by its
CIFAR-100 recipe of that name (resnet8x4 teaches resnet20, images are random numbers). Printed are the relative gap of the mean
loss, and the largest gap of a parameter relative to the largest step that any parameter took. A gap above LIMIT: exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import math
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.feed import Feed
from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step
from kdzoo.protocol.outputs import Batch
from kdzoo.recipe.load import Recipe, load
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing import tiny_run

STEPS, BATCH, CLASSES = 2, 32, 100
LIMIT = 1e-9
TEACHER, STUDENT = "resnet8x4", "resnet20"
Features = Sequence[Tensor]


@dataclass(frozen=True)
class Peer:
    """A method as RepDistiller's `train_student.py` has it.

    Attributes:
        distill: its name there. weights: of labels, softened KL and the method's own loss (its -r, -a and -b).
        made: (`distiller_zoo`, features of both networks) -> its criterion, and modules with parameters beside the student.
    """

    distill: str
    weights: tuple[float, float, float]
    made: Callable[[Any, Features, Features], tuple[nn.Module, list[nn.Module]]]


def plain(name: str) -> Callable[[Any, Features, Features], tuple[nn.Module, list[nn.Module]]]:
    """A criterion without settings or modules."""
    return lambda zoo, s, t: (getattr(zoo, name)(), [])


def hint(zoo: Any, s: Features, t: Features) -> tuple[nn.Module, list[nn.Module]]:
    return zoo.HintLoss(), [importlib.import_module("models.util").ConvReg(s[2].shape, t[2].shape)]


def correlation(zoo: Any, s: Features, t: Features) -> tuple[nn.Module, list[nn.Module]]:
    embed = importlib.import_module("models.util").LinearEmbed
    return zoo.Correlation(), [embed(s[-1].shape[1], 128), embed(t[-1].shape[1], 128)]


def variational(zoo: Any, s: Features, t: Features) -> tuple[nn.Module, list[nn.Module]]:
    pairs = zip(s[1:-1], t[1:-1], strict=True)
    return nn.ModuleList([zoo.VIDLoss(a.shape[1], b.shape[1], b.shape[1]) for a, b in pairs]), []


PEERS: dict[str, Peer] = {
    "kd": Peer("kd", (0.1, 0.9, 0.0), lambda zoo, s, t: (zoo.DistillKL(4.0), [])),
    "fitnets": Peer("hint", (1.0, 0.0, 100.0), hint),
    "at": Peer("attention", (1.0, 0.0, 1000.0), plain("Attention")),
    "sp": Peer("similarity", (1.0, 0.0, 3000.0), plain("Similarity")),
    "cc": Peer("correlation", (1.0, 0.0, 0.02), correlation),
    "vid": Peer("vid", (1.0, 0.0, 1.0), variational),
    "rkd": Peer("rkd", (1.0, 0.0, 1.0), plain("RKDLoss")),
    "pkt": Peer("pkt", (1.0, 0.0, 30000.0), plain("PKT")),
    "nst": Peer("nst", (1.0, 0.0, 50.0), plain("NSTLoss")),
}


class Images64(ImageClassification):
    """Images in float64."""

    def _inputs(self, pixels: Tensor) -> Tensor:
        return super()._inputs(pixels).to(torch.get_default_dtype())


@dataclass(frozen=True)
class Gap:
    """How far both trainers are apart, see the module's docstring."""

    loss: float
    parameters: float


def compared(name: str) -> Gap:
    """Two steps of one method by both trainers. `sys.path` must lead to the checkout."""
    with tiny_run(recipe(name)) as run:
        batches = [window[0] for window, _ in zip(Feed(run).windows(0, start=0, size=1), range(STEPS), strict=False)]
        peer = PEERS[name]
        theirs, modules = as_theirs(run, peer)
        before = [p.detach().clone() for p in theirs.parameters()]
        loss = trained_by_them(peer, theirs, modules, batches, run)
        ours = [total(run, train_step(run, batch)) for batch in batches]
        moved = max(float((p - q).abs().max()) for p, q in zip(theirs.parameters(), before, strict=True))
        pairs = zip(theirs.parameters(), run.student.parameters(), strict=True)
        gap = max(float((p - q).detach().abs().max()) for p, q in pairs) / moved
        mean = sum(ours) / len(ours)
        return Gap(abs(loss - mean) / abs(mean), gap)


def recipe(name: str) -> Recipe:
    """kdzoo's CIFAR-100 recipe on random images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (STEPS * BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (STEPS * BATCH,), generator=generator)
    labels[0] = CLASSES - 1
    data = {
        "use": "tensors",
        "train_images": images,
        "train_labels": labels,
        "test_images": images,
        "test_labels": labels,
    }
    written: dict[str, Any] = {
        "extends": f"cifar100/{name}",
        "task": {"use": "images64", "data": data, "validation": 0},
        "student": STUDENT,
        "teacher": {"use": "frozen", "recipe": None, "model": TEACHER},
        "train": {"batch_size": BATCH, "epochs": 1},
        "runtime": {"device": "cpu"},
        "schedules": None,
    }
    if name == "fitnets":  # its recipe has the two losses at once, as the authors' trainer
        written["methods"] = {"fitnets_joint": {"weights": {"hint": 100.0}}}
    return load(written)


def as_theirs(run: Run, peer: Peer) -> tuple[nn.Module, list[nn.Module]]:
    """Their student with our weights, and all that `train_distill` wants: modules, the teacher last, and criteria."""
    models, zoo = importlib.import_module("models"), importlib.import_module("distiller_zoo")
    student, teacher = (models.model_dict[name](num_classes=CLASSES) for name in (STUDENT, TEACHER))
    taken_over(student, run.student)
    taken_over(teacher, run.model("teacher"))
    teacher.eval(), student.eval()
    with torch.no_grad():
        seen = [net(torch.randn(2, 3, 32, 32), is_feat=True)[0] for net in (student, teacher)]
    criterion, further = peer.made(zoo, *seen)
    own = [p for label, method in run.methods.items() if label != "hard_label" for p in method.parameters()]
    with torch.no_grad():
        for parameter in [p for module in (*further, criterion) for p in module.parameters()]:
            match = next(p for p in own if p.shape == parameter.shape)
            parameter.copy_(match)
            own = [p for p in own if p is not match]
    return student, [student, *further, criterion, teacher]


def taken_over(theirs: nn.Module, ours: nn.Module) -> None:
    """Our weights and statistics in their network, which has the same layers in the same order."""
    values = [value for name, value in ours.state_dict().items() if not name.endswith("num_batches_tracked")]
    names = [name for name in theirs.state_dict() if not name.endswith("num_batches_tracked")]
    theirs.load_state_dict(dict(zip(names, values, strict=True)), strict=False)


def trained_by_them(peer: Peer, student: nn.Module, modules: list[nn.Module], batches: Sequence[Batch], run: Run) -> float:
    """Their epoch over these batches, and the mean loss that it says."""
    loops, zoo = importlib.import_module("helper.loops"), importlib.import_module("distiller_zoo")
    *further, criterion, teacher = modules[1:]
    gamma, alpha, beta = peer.weights
    own = run.optimizers[run.first].param_groups[0]
    trainable = [p for module in (student, *further, criterion) for p in module.parameters()]
    optimizer = torch.optim.SGD(trainable, lr=own["lr"], momentum=own["momentum"], weight_decay=own["weight_decay"])
    options = Namespace(distill=peer.distill, gamma=gamma, alpha=alpha, beta=beta, hint_layer=2, print_freq=10**9)
    loader = [(batch.inputs, batch.target, torch.arange(len(batch.target))) for batch in batches]
    criteria = [nn.CrossEntropyLoss(), zoo.DistillKL(4.0), criterion]
    with in_float64(), contextlib.redirect_stdout(io.StringIO()):
        _, loss = loops.train_distill(1, loader, nn.ModuleList([student, *further, teacher]), criteria, optimizer, options)
    return float(loss)


@contextmanager
def in_float64() -> Iterator[None]:
    """Their loop asks for float32; it gets float64."""
    single = Tensor.float
    Tensor.float = Tensor.double  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.float = single  # type: ignore[method-assign]


def total(run: Run, trained: Sequence[Any]) -> float:
    """A step's loss."""
    weights = {f"{label}.{name}": weight for label, own in run.weights_now.items() for name, weight in own.items()}
    return math.fsum(weights[name] * float(value) for micro in trained for name, value in micro.values.items())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a clone of RepDistiller")
    parser.add_argument("--methods", nargs="+", choices=PEERS, default=list(PEERS))
    args = parser.parse_args(argv)
    if not (args.checkout / "helper" / "loops.py").is_file():
        parser.error(f"{args.checkout} holds no helper/loops.py: give a clone of RepDistiller")
    sys.path.insert(0, str(args.checkout))
    torch.set_default_dtype(torch.float64)
    registry.register("tasks", "images64", Images64)
    worst = 0.0
    for name in args.methods:
        gap = compared(name)
        worst = max(worst, gap.loss, gap.parameters)
        print(f"{name:10} loss {gap.loss:.1e}  parameters {gap.parameters:.1e}", flush=True)
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
