"""Repositories of one method each. Where a trainer cannot run on given images, its loss does, in a loop on our networks."""

from __future__ import annotations

import copy
import importlib
import sys
import types
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.peers.steps import CLASSES, Peer, Scene, Train, absent, stepped
from kdzoo.engine.feature_recorder import FeatureRecorder
from kdzoo.protocol.needs import MAIN_STAGE

MAP, POOLED, LOGITS = "stage4", "pooled", "logits"  # of the networks WIDE
Features = dict[str, Tensor]
Loss = Callable[[Features, Features], Tensor]


def hollow(*packages: str) -> None:
    """Packages of the checkout without what their `__init__` imports."""
    for name in packages:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(place_of(name.replace(".", "/")))]


def place_of(path: str) -> Path:
    """A file or folder of the checkout."""
    return next(Path(folder, path) for folder in sys.path if Path(folder, path).exists())


def features_of(net: nn.Module) -> Callable[[Tensor], Features]:
    """What a network of ours gives for images."""
    recorder = FeatureRecorder(net, (MAP, POOLED))

    def ask(x: Tensor) -> Features:
        with recorder.recording() as features:
            logits = net(x)
        return {**features, LOGITS: logits}

    return ask


def by_loss(method: str, made: Callable[[Scene], tuple[Loss, list[nn.Module]]], **row: Any) -> Peer:
    """A row where theirs is a loss of the two networks' features, beside the labels' cross-entropy.

    Args:
        method: kdzoo's name. made: the loss on a scene, and its modules that train.
    """

    def theirs(scene: Scene) -> Train:
        student, teacher = scene.twins()
        loss, modules = made(scene)
        scene.adapters(*(p for module in modules for p in module.parameters()))
        ask, ask_teacher, optimizer = features_of(student), features_of(teacher), scene.optimizer(student, *modules)

        def losses() -> Iterator[Tensor]:
            for batch in scene.batches[MAIN_STAGE]:
                seen = {key: feature.detach() for key, feature in ask_teacher(batch.inputs).items()}
                own = ask(batch.inputs)
                yield cross_entropy(own[LOGITS], batch.target) + loss(own, seen)

        student.train()
        return lambda: stepped(optimizer, losses())

    return Peer("cifar100/kd", theirs, only(method, kd=row.pop("kd", None)), **row)


def only(method: str, *, kd: Any = None, **further: Any) -> dict[str, Any]:
    """A recipe of labels at weight 1 and one method."""
    return {"methods": {"hard_label": {"weights": {"hard_label": 1.0}}, "kd": kd, method: {}}, **further}


# -- losses ------------------------------------------------------------------------------------------------------------


def channels(scene: Scene) -> Any:
    loss = importlib.import_module("utils.criterion").CriterionCWD("channel", "kl", 1.0)
    return (lambda s, t: 5 * loss(s[MAP], t[MAP])), []


def pearson(scene: Scene) -> Any:
    hollow("mmrazor", "mmrazor.models", "mmrazor.models.losses")
    absent("mmrazor.registry")
    sys.modules["mmrazor.registry"].MODELS.register_module.return_value = lambda kind: kind
    loss = importlib.import_module("mmrazor.models.losses.pkd_loss").PKDLoss()
    return (lambda s, t: loss(s[MAP], t[MAP])), []


def projected(scene: Scene) -> Any:
    loss = importlib.import_module("torchdistill.losses.single").OurDistillationLoss("log_bn_corr_4")

    def total(s: Features, t: Features) -> Tensor:
        return loss(*({"layer4": {"output": x[MAP]}, "fc": {"output": x[LOGITS]}} for x in (s, t)), mode=None)

    return total, [loss.embed]


def prime_aware(scene: Scene) -> Any:
    (method,) = [m for label, m in scene.run.methods.items() if label == "pad"]
    variance = copy.deepcopy(method.log_variance)
    loss = importlib.import_module("torchdistill.losses.mid_level").PADL2Loss("pooled", "pooled")

    def total(s: Features, t: Features) -> Tensor:
        own = {"pooled": {"output": s[POOLED]}, "var_estimator": {"output": variance(s[POOLED])}}
        return loss(own, {"pooled": {"output": t[POOLED]}})

    return total, [variance]


# -- trainers ----------------------------------------------------------------------------------------------------------


def streamlined(scene: Scene) -> Train:
    """`Distiller.SKD` on the networks of `CIFAR-100/Models`."""
    hollow("Distiller")  # its `__init__` asks for a name that is not there
    models = importlib.import_module("Models.resnet")
    student, teacher = (model(num_classes=CLASSES)[0] for model in (models.resnet20, models.resnet8x4))
    distiller = importlib.import_module("Distiller.SKD").SKD(scene.student(student), scene.teacher(teacher))
    distiller.train()
    optimizer, batches = scene.optimizer(student), scene.batches

    def losses() -> Iterator[Tensor]:
        for batch in batches[MAIN_STAGE]:
            yield sum(loss.mean() for loss in distiller(batch.inputs, batch.target, 0)[-1].values())

    return lambda: stepped(optimizer, losses())


def last_mini_batch(scene: Scene) -> Train:
    """`dlb.train_one_epoch`. The half of our batch that repeats the last one is the second view of their last data."""
    absent("my_dataloader")
    arguments, sys.argv = sys.argv, ["dlb.py", "--T", "3", "--alpha", "1"]
    try:
        module = importlib.import_module("dlb")
    finally:
        sys.argv = arguments
    student = scene.student(copy.deepcopy(scene.run.student))
    optimizer = scene.optimizer(student)

    def train() -> float:
        first, second = scene.batches[MAIN_STAGE]
        size = first.size
        again = second.inputs[:size][torch.searchsorted(second.index[:size], first.index)]
        new = second.inputs[size:]
        data = [(torch.stack((first.inputs, again), 1), first.target), (torch.stack((new, new), 1), second.target[size:])]
        return float(module.train_one_epoch(student, optimizer, data, 1.0, None, None)[0])

    return train


def assistant(scene: Scene) -> Train:
    """`train.TrainManager`, whose KL is a mean over classes, too."""
    absent("nni", "data_loader")
    student, teacher = scene.twins()
    config = {"device": "cpu", "name": "", "trial_id": "", "epochs": 1, "is_plane": True, "lambda_student": 0.9, "T_student": 4}
    config |= {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 1e-4}

    def train() -> None:
        loader = [(batch.inputs, batch.target) for batch in scene.batches[MAIN_STAGE]]
        manager = importlib.import_module("train").TrainManager(student, teacher, loader, [], config)
        manager.validate = lambda step: 0.0
        manager.train()

    return train


MODERN = {
    "async=True": "non_blocking=True",
    "volatile=True": "requires_grad=False",
    ".data[0]": ".item()",
    "view(-1)": "reshape(-1)",
}


def moving_average(scene: Scene) -> Train:
    """`main.train`, in the words of today's Python and torch."""
    absent("torchvision", "torchvision.datasets", "torchvision.transforms", "mean_teacher.run_context")
    text = next(
        Path(folder, "main.py") for folder in sys.path if Path(folder).parts[-2:] == ("mean-teacher", "pytorch")
    ).read_text()
    for old, new in MODERN.items():
        text = text.replace(old, new)
    module: Any = types.ModuleType("mean_teacher_main")
    exec(compile(text, "main.py", "exec"), module.__dict__)
    student, average = scene.student(copy.deepcopy(scene.run.student)), copy.deepcopy(scene.run.student)
    optimizer = scene.optimizer(student)
    rate = optimizer.param_groups[0]["lr"]
    consistency = {"consistency": 100.0, "consistency_type": "mse", "consistency_rampup": 0, "logit_distance_cost": -1}
    rates = {"lr": rate, "initial_lr": rate, "lr_rampup": 0, "lr_rampdown_epochs": 0}
    module.args = Namespace(**consistency, **rates, ema_decay=0.5, print_freq=10**9)

    def train() -> None:
        loader = [((batch.inputs, batch.views["second"]), batch.target) for batch in scene.batches[MAIN_STAGE]]
        module.train(loader, student, average, optimizer, 0, MagicMock())

    return train


WIDE = {"student": "vgg8", "teacher": "vgg13"}  # their last maps have 512 channels, as the code of SRD takes for granted
NO_NORM = "a network without BatchNorm: "
# Repository -> where in it its modules are, and its rows.
REPOSITORIES: dict[str, tuple[str, dict[str, Peer]]] = {
    "TorchDistiller": ("SemSeg-distill", {"cwd": by_loss("cwd", channels, **WIDE)}),
    "mmrazor": (".", {"pkd": by_loss("pearson_kd", pearson, **WIDE)}),
    "Simple-Recipe-Distillation": (
        "imagenet",
        {"srd": by_loss("srd", projected, kd={"temperature": 1, "weights": {"kd": 1.0}}, **WIDE)},
    ),
    "torchdistill": (".", {"pad": by_loss("pad", prime_aware, **WIDE)}),
    "StreamLined": (
        "CIFAR-100",
        {"skd": Peer("cifar100/kd", streamlined, {**only("skd"), "methods": {**only("skd")["methods"], "hard_label": {}}})},
    ),
    "DLB": (
        ".",
        {"dlb": Peer("cifar100/dlb", last_mini_batch, student="lenet5", note=NO_NORM + "theirs normalizes both halves apart")},
    ),
    "Teacher-Assistant-Knowledge-Distillation": (
        ".",
        {
            "takd": Peer(
                "cifar100/takd",
                assistant,
                {
                    "teacher": {"use": "takd", "assistants": [], "recipe": None, "model": "resnet8x4"},
                    "methods": {"kd": {"weights": {"kd": 0.9 / CLASSES}}},
                    "optimizers": {"student": {"lr": 0.01, "weight_decay": 1e-4}},
                },
                note="KL over 100, as theirs is a mean over classes; their rate of plain networks",
            )
        },
    ),
    "mean-teacher": (
        "pytorch",
        {
            "main": Peer(
                "cifar100/kd",
                moving_average,
                only("mean_teacher", teacher={"use": "ema", "momentum": 0.5}),
                student="lenet5",
                note=NO_NORM + "theirs normalizes the average's answer by its batch; momentum 0.5, where theirs starts",
            )
        },
    ),
}
