"""A cohort of seven methods against torchdistill 1.1.5 training the same seven one after another, in CPU time of one process.

KD, DIST, AT, SP and RKD learn from one frozen teacher; label smoothing and the student alone do not (torchdistill has no DKD).
Networks, weights, batch size, optimizer and steps are the same; each of torchdistill's boxes has its own loader. Its data are
tensors that are normalized already and not augmented, which kdzoo's are not: that is in its favor. With T for the teacher's
forward on a batch and S for what a method takes besides in torchdistill, the cohort could gain (5 T + sum S) / (T + sum S).

Run, in an environment with torchdistill==1.1.5 and kdzoo:
`OMP_NUM_THREADS=1 python benchmarks/torchdistill_cohort.py [--rounds 10] [--steps 4]`.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import statistics
from typing import Any

import torch
from cohort import BATCH, WITH_TEACHER, Act, Trained, cpu_time, images, in_lockstep, teacher_forward, time_rounds, together
from torch import nn
from torch.utils.data import TensorDataset
from torchdistill.core.distillation import DistillationBox
from torchdistill.core.training import TrainingBox

from kdzoo.engine.results import environment

NAMES = ("kd", "dist", "at", "sp", "rkd", "ls", "alone")
STAGES = ("layer1", "layer2", "layer3")
LOGITS = {"student_module_path": ".", "student_module_io": "output", "teacher_module_path": ".", "teacher_module_io": "output"}


def labels(smoothing: float = 0.0) -> dict[str, Any]:
    wrapped = {"input": {"is_from_teacher": False, "module_path": ".", "io": "output"}, "target": {"uses_label": True}}
    return {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {"label_smoothing": smoothing}},
        "criterion_wrapper": {"key": "SimpleLossWrapper", "kwargs": wrapped},
        "weight": 1.0,
    }


def terms(name: str) -> dict[str, Any]:
    pairs = {s: {"teacher": {"io": "output", "path": s}, "student": {"io": "output", "path": s}, "weight": 1} for s in STAGES}
    same = {"student_output_path": "layer3", "teacher_output_path": "layer3", "reduction": "batchmean"}
    pooled = {"student_output_path": "pool", "teacher_output_path": "pool", "angle_factor": 50}
    found = {
        "kd": {"key": "KDLoss", "kwargs": {**LOGITS, "temperature": 4, "alpha": 0.1}},
        "dist": {"key": "DISTLoss", "kwargs": {**LOGITS, "beta": 1.0, "gamma": 1.0, "tau": 1.0}},
        "at": {"key": "ATLoss", "kwargs": {"at_pairs": pairs}},
        "sp": {"key": "SPKDLoss", "kwargs": same},
        "rkd": {"key": "RKDLoss", "kwargs": {**pooled, "dist_factor": 25, "reduction": "mean"}},
    }
    if name in ("ls", "alone"):
        return {"labels": labels(0.1 if name == "ls" else 0.0)}
    own = {name: {"criterion": found[name], "weight": 1.0}}
    return own if name == "kd" else {"labels": labels(), **own}  # KDLoss has the labels' term itself


def hooked(name: str) -> dict[str, Any]:
    outputs = {"at": list(STAGES), "sp": ["layer3"], "rkd": ["pool"]}.get(name, [])
    return {"forward_hook": {"input": [], "output": outputs}, "forward_proc": "forward_batch_only"}


class Boxed:
    """A method in torchdistill, advanced as its own example does."""

    def __init__(self, name: str, student: nn.Module, teacher: nn.Module | None, data: TensorDataset) -> None:
        self.name = name
        loader = {
            "dataset_id": "train",
            "sampler": {"class_or_func": torch.utils.data.RandomSampler, "kwargs": {}},
            "kwargs": {"batch_size": BATCH, "num_workers": 0, "drop_last": True},
        }
        model = {"model": hooked(name)} if teacher is None else {}
        config = {
            "num_epochs": 1,
            "train_data_loader": loader,
            "student": hooked(name),
            "teacher": {**hooked(name), "requires_grad": False},
            "optimizer": {"key": "SGD", "kwargs": {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}},
            "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": terms(name)}},
            **model,
        }
        own, device, given = copy.deepcopy(student).train(), torch.device("cpu"), {"train": data}
        if teacher is None:
            self.box: Any = TrainingBox(own, given, config, device, [], False, 1)
        else:
            self.box = DistillationBox(copy.deepcopy(teacher).eval(), own, given, config, device, [], False, 1)

    def epoch(self) -> None:
        for sample, targets, more in self.box.train_data_loader:
            self.box.post_forward_process(loss=self.box.forward_process(sample, targets, more))


def measure(rounds: int, steps: int) -> dict[str, Any]:
    data = images(steps)
    joined = together(data, rounds + 1, NAMES)
    reference = Trained("kd", rounds + 1, data, None, None)
    ready = TensorDataset(torch.randn(steps * BATCH, 3, 32, 32), data["train_labels"])
    student, teacher = joined[-1].run.model("student"), joined[0].run.model("teacher")
    boxes = [Boxed(name, student, teacher if name in WITH_TEACHER else None, ready) for name in NAMES]
    own: dict[str, list[float]] = {name: [] for name in NAMES}
    apart, lockstep, forwards = [], [], []

    def one_after_another() -> None:
        for box in boxes:
            own[box.name].append(cpu_time(box.epoch) / steps)

    acts: list[Act] = [
        (apart, lambda _: one_after_another()),
        (lockstep, lambda number: list(in_lockstep(joined, steps, number))),
        (forwards, lambda _: teacher_forward(reference.run, reference.feed, steps)),
    ]
    time_rounds(rounds, acts, others=list(own.values()))
    t = statistics.median(forwards) / steps
    s = {name: statistics.median(values) - (t if name in WITH_TEACHER else 0.0) for name, values in own.items()}
    ratios = [a / b for a, b in zip(apart, lockstep, strict=True)]
    best = (5 * t + sum(s.values())) / (t + sum(s.values()))
    return {
        "T, seconds": round(t, 4),
        "S of torchdistill, seconds": {name: round(value, 4) for name, value in s.items()},
        "T / S": round(t / statistics.mean(s.values()), 2),
        "torchdistill / cohort": {"median": round(statistics.median(ratios), 3), "all": [round(r, 3) for r in ratios]},
        "(5 T + sum S) / (T + sum S)": round(best, 3),
        "share of that": round(statistics.median(ratios) / best, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    found = measure(given.rounds, given.steps)
    print(json.dumps({"rounds": given.rounds, "steps": given.steps, **found, **environment(torch.device("cpu"))}, indent=1))


if __name__ == "__main__":
    main()
