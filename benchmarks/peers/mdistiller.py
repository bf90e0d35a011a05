"""mdistiller's own trainers, with the configurations of its `configs/cifar100`."""

from __future__ import annotations

import importlib
from collections import defaultdict
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.peers.contrast import Contrast
from benchmarks.peers.steps import BATCH, CLASSES, STEPS, Peer, Scene, Train, absent
from kdzoo.protocol.needs import MAIN_STAGE


def peer(
    config: str, ours: str, settings: dict[str, Any] | None = None, *, note: str = "", limit: float = 1e-9, **recipe: Any
) -> Peer:
    """A row. `config`: a file of `configs/cifar100`. `settings`: what is otherwise in it, by dotted keys."""

    def theirs(scene: Scene) -> Train:
        absent("tensorboardX", "tqdm", "wandb")
        engine, models = importlib.import_module("mdistiller.engine"), importlib.import_module("mdistiller.models")
        cfg = importlib.import_module("mdistiller.engine.cfg").CFG.clone()
        cfg.merge_from_file(str(Path(models.__file__).parents[2] / "configs" / "cifar100" / f"{config}.yaml"))
        cfg.merge_from_list([each for item in (settings or {}).items() for each in item])
        kind = importlib.import_module("mdistiller.distillers").distiller_dict[cfg.DISTILLER.TYPE]
        student, teacher = (models.cifar_model_dict[name][0](num_classes=CLASSES) for name in ("resnet20", "resnet8x4"))
        scene.teacher(teacher)
        contrast = cfg.DISTILLER.TYPE == "CRD"
        distiller = kind(student, teacher, cfg, *((STEPS * BATCH,) if contrast else ()))
        scene.student(student), scene.teacher(teacher)  # after its constructor, which may look in train mode
        own = {id(p) for p in (*student.parameters(), *teacher.parameters())}
        scene.adapters(*(p for p in distiller.parameters() if id(p) not in own))
        noise = Contrast(scene, distiller.contrast) if contrast else None
        trainer = object.__new__(engine.trainer_dict[cfg.SOLVER.TRAINER])  # without its logs
        trainer.cfg, trainer.distiller = cfg, nn.DataParallel(distiller)
        trainer.optimizer = trainer.init_optimizer(cfg)

        def train() -> float:
            meters: Any = defaultdict(importlib.import_module("mdistiller.engine.utils").AverageMeter)
            trainer.distiller.train()
            teacher.eval()
            for number, batch in enumerate(scene.batches[MAIN_STAGE]):
                rows = () if noise is None else (noise.rows[number],)
                trainer.train_iter((batch.inputs, batch.target, batch.index, *rows), 1, meters)
            return float(meters["losses"].avg)

        return train

    return Peer(f"cifar100/{ours}", theirs, recipe, note=note, limit=limit)


REVIEW = {
    "REVIEWKD.IN_CHANNELS": [16, 32, 64, 64],  # of resnet20
    "REVIEWKD.OUT_CHANNELS": [64, 128, 256, 256],
}
PEERS: dict[str, Peer] = {
    "KD": peer("kd", "kd"),
    "AT": peer("at", "at"),
    "FITNET": peer("fitnet", "fitnets", note="statistics from before its constructor, which moves them"),
    "VID": peer("vid", "vid", note="as FITNET; its variances are in no optimizer", limit=1e-5),
    "RKD": peer("rkd", "rkd"),
    "SP": peer("sp", "sp"),
    "PKT": peer("pkt", "pkt"),
    "NST": peer("nst", "nst"),
    "KDSVD": peer("kdsvd", "kdsvd", methods={"kdsvd": {"use": "kdsvd_rows"}}, note="kdzoo's `kdsvd_rows`"),
    "OFD": peer("ofd", "ofd", note="teacher in eval mode, theirs trains its BatchNorm; their margins are float32", limit=1e-7),
    "CRD": peer(
        "crd",
        "crd",
        {"CRD.FEAT.STUDENT_DIM": 64, "CRD.NCE.K": Contrast.NEGATIVES},
        methods={"crd": {"negatives": Contrast.NEGATIVES}},
        note="our negatives",
    ),
    "REVIEWKD": peer(
        "reviewkd", "review_kd", REVIEW, optimizers={"student": {"lr": 0.05, "nesterov": False}}, note="mdistiller's optimizer"
    ),
    "DKD": peer("dkd/res32x4_res8x4", "dkd"),
    "DOT": peer("dot/res32x4_res8x4", "dot"),
}
