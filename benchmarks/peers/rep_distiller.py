"""RepDistiller's own loops: `helper.pretrain.init` where a method has a first stage, and `helper.loops.train_distill`."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from benchmarks.peers.contrast import Contrast
from benchmarks.peers.steps import BATCH, CLASSES, STEPS, Peer, Scene, Train
from kdzoo.protocol.needs import MAIN_STAGE
from kdzoo.protocol.outputs import Batch

OPTIMIZER = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}  # the defaults of its command line
Features = Sequence[Tensor]


@dataclass(frozen=True)
class Parts:
    """What `train_student.py` makes for a method.

    Attributes:
        criterion: of the main stage. trained, kept: modules beside the student that its optimizer has, and has not.
        first: the criterion and the modules of the first stage.
    """

    criterion: nn.Module
    trained: Sequence[nn.Module] = ()
    kept: Sequence[nn.Module] = ()
    first: tuple[nn.Module, Sequence[nn.Module]] | None = None


Made = Callable[[Any, Any, nn.Module, Features, Features], Parts]


def plain(name: str, *settings: Any) -> Made:
    """A criterion of `distiller_zoo` alone."""
    return lambda zoo, util, student, s, t: Parts(getattr(zoo, name)(*settings))


def hint(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    return Parts(zoo.HintLoss(), [util.ConvReg(s[2].shape, t[2].shape)])


def correlation(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    return Parts(zoo.Correlation(), [util.LinearEmbed(x[-1].shape[1], 128) for x in (s, t)])


def variational(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    pairs = zip(s[1:-1], t[1:-1], strict=True)
    return Parts(nn.ModuleList([zoo.VIDLoss(a.shape[1], b.shape[1], b.shape[1]) for a, b in pairs]))


def contrast(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    sizes = {"s_dim": s[-1].shape[1], "t_dim": t[-1].shape[1], "feat_dim": 128, "n_data": STEPS * BATCH}
    options = Namespace(**sizes, nce_k=Contrast.NEGATIVES, nce_t=0.07, nce_m=0.5)
    criterion = importlib.import_module("crd.criterion").CRDLoss(options)
    return Parts(criterion, kept=[criterion.embed_s, criterion.embed_t])


def boundary(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    connector = util.Connector([f.shape for f in s[1:-1]], [f.shape for f in t[1:-1]])
    criterion = zoo.ABLoss(len(s[1:-1]))
    return Parts(criterion, kept=[connector], first=(criterion, [connector, student.get_feat_modules()]))  # type: ignore[operator]


def factor(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    paraphraser, translator = util.Paraphraser(t[-2].shape), util.Translator(s[-2].shape, t[-2].shape)
    return Parts(zoo.FactorTransfer(), [translator], [paraphraser], first=(nn.MSELoss(), [paraphraser]))


def flow(zoo: Any, util: Any, student: nn.Module, s: Features, t: Features) -> Parts:
    criterion = zoo.FSP([f.shape for f in s[:-1]], [f.shape for f in t[:-1]])
    return Parts(criterion, first=(criterion, [student.get_feat_modules()]))  # type: ignore[operator]


def peer(
    name: str,
    weights: tuple[float, float, float],
    made: Made,
    ours: str,
    student: str = "resnet20",
    teacher: str = "resnet8x4",
    **recipe: Any,
) -> Peer:
    """A row. `name`, `weights`: --distill, and of labels, softened KL and the method's own loss (-r, -a, -b)."""

    def theirs(scene: Scene) -> Train:
        models, zoo = importlib.import_module("models"), importlib.import_module("distiller_zoo")
        learns = scene.student(models.model_dict[student](num_classes=CLASSES)).eval()
        teaches = scene.teacher(models.model_dict[teacher](num_classes=CLASSES))
        with torch.no_grad():
            seen = [net(torch.randn(2, 3, 32, 32), is_feat=True)[0] for net in (learns, teaches)]
        parts = made(zoo, importlib.import_module("models.util"), learns, *seen)
        scene.adapters(*dict.fromkeys(p for m in (*parts.kept, *parts.trained, parts.criterion) for p in m.parameters()))
        noise = Contrast(scene, parts.criterion.contrast) if name == "crd" else None
        return lambda: trained(name, weights, parts, learns, teaches, scene, noise)

    return Peer(f"cifar100/{ours}", theirs, recipe, student, teacher)


def trained(
    name: str,
    weights: tuple[float, float, float],
    parts: Parts,
    student: nn.Module,
    teacher: nn.Module,
    scene: Scene,
    noise: Contrast | None,
) -> float:
    """Their epochs over our batches, and the mean loss that the last one says."""
    loops, zoo = importlib.import_module("helper.loops"), importlib.import_module("distiller_zoo")
    gamma, alpha, beta = weights
    options = Namespace(distill=name, gamma=gamma, alpha=alpha, beta=beta, hint_layer=2, print_freq=10**9)
    if parts.first is not None:
        criterion, modules = parts.first
        first = Namespace(distill=name, model_s="resnet20", init_epochs=1, learning_rate=OPTIMIZER["lr"], **OPTIMIZER)
        (stage,) = [batches for stage, batches in scene.batches.items() if stage != MAIN_STAGE]
        pretrain = importlib.import_module("helper.pretrain")
        pretrain.init(student, teacher, nn.ModuleList(modules), criterion, loader(stage, None), MagicMock(), first)
    modules = nn.ModuleList([student, *parts.trained, *parts.kept, teacher])
    criteria = [nn.CrossEntropyLoss(), zoo.DistillKL(4.0), parts.criterion]
    updated = nn.ModuleList([student, *parts.trained, parts.criterion])
    optimizer = torch.optim.SGD(updated.parameters(), **OPTIMIZER)
    batches = loader(scene.batches[MAIN_STAGE], noise)
    _, loss = loops.train_distill(1, batches, modules, criteria, optimizer, options)
    return float(loss)


def loader(batches: Sequence[Batch], noise: Contrast | None) -> list[tuple[Tensor, ...]]:
    """Our batches as its data loaders give them."""
    extra = noise.rows if noise else [()] * len(batches)
    return [(b.inputs, b.target, b.index, *((more,) if noise else ())) for b, more in zip(batches, extra, strict=True)]


PEERS: dict[str, Peer] = {
    "kd": peer("kd", (0.1, 0.9, 0.0), plain("DistillKL", 4.0), "kd"),
    "hint": peer("hint", (1.0, 0.0, 100.0), hint, "fitnets"),
    "attention": peer("attention", (1.0, 0.0, 1000.0), plain("Attention"), "at"),
    "similarity": peer("similarity", (1.0, 0.0, 3000.0), plain("Similarity"), "sp"),
    "correlation": peer("correlation", (1.0, 0.0, 0.02), correlation, "cc"),
    "vid": peer("vid", (1.0, 0.0, 1.0), variational, "vid"),
    "rkd": peer("rkd", (1.0, 0.0, 1.0), plain("RKDLoss"), "rkd"),
    "pkt": peer("pkt", (1.0, 0.0, 30000.0), plain("PKT"), "pkt"),
    "nst": peer("nst", (1.0, 0.0, 50.0), plain("NSTLoss"), "nst"),
    "kdsvd": peer("kdsvd", (1.0, 0.0, 1.0), plain("KDSVD"), "kdsvd", "resnet8", "resnet20"),
    "crd": peer("crd", (1.0, 0.0, 0.8), contrast, "crd", methods={"crd": {"negatives": Contrast.NEGATIVES}}),
    "abound": peer("abound", (1.0, 0.0, 0.0), boundary, "ab", methods={"ab": {"boundary_epochs": 1}}),
    "factor": peer("factor", (1.0, 0.0, 200.0), factor, "ft", methods={"ft_attention": {"paraphraser_epochs": 1}}),
    "fsp": peer("fsp", (1.0, 0.0, 0.0), flow, "fsp", "resnet8", "resnet20", methods={"fsp": {"flow_epochs": 1}}),
}
