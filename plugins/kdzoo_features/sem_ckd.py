"""SemCKD: every stage of the student learns from all stages of the teacher, as much as their batches look alike.

Chen, Mei, Zhang, Wang, Feng, Chen, "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, arXiv 2012.03236.

    sem_ckd = 1 / (B n_s) sum_{b, i, j} a_{b i j} mean (P_ij(F_s^i)_b - F_t^j_b)^2        F: (B, C, H, W), n_s student stages
    a_{b i .} = softmax_j (q_i(G_s^i)_b . k_j(G_t^j)_b)                                   G = X X': (B, B), X: flattened F

q_i, k_j: linear, ReLU, linear to B / 4 numbers, of unit length; P_ij: 1x1, 3x3 and 1x1 convolutions, BatchNorm and ReLU after
the first two, of width 2 C_t. The larger map of a pair is average-pooled. q, k and P train with the student; all that is left
after training is the student.

In the authors' code: all stages, weight 400 on CIFAR-100 (50 on ImageNet) beside labels and `kd` at 1 each. As q and k read
one number per sample of the batch, they are built for `train.batch_size`. Deviation: a smaller last batch is filled up with
zeros there, while the released code leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.features import gram, same_size, unit
from kdzoo.functional.float32 import in_float32
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import some
from kdzoo_features.tap_checks import maps_only

SHRINK = 4


class Similarities(nn.Module):
    """A sample's inner products with its batch (B, size) to a unit vector (B, size / 4)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        width = size // SHRINK
        self.size = size
        self.layers = nn.Sequential(nn.Linear(size, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, features: Tensor) -> Tensor:
        """Of features (B, ...) with at most `size` samples; what is missing counts as zero."""
        products = gram(features.flatten(1))
        return unit(self.layers(F.pad(products, (0, self.size - len(products)))))


class Projection(nn.Sequential):
    """A student's map to the teacher's channels, (B, student, H, W) -> (B, teacher, H, W)."""

    def __init__(self, student: int, teacher: int) -> None:
        layers: list[nn.Module] = []
        for i, o, kernel in ((student, 2 * teacher, 1), (2 * teacher, 2 * teacher, 3)):
            convolution = nn.Conv2d(i, o, kernel, padding=kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(o), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(2 * teacher, teacher, 1, bias=False))


@in_float32
def attention(
    student: Sequence[Tensor], teacher: Sequence[Tensor], queries: Iterable[nn.Module], keys: Iterable[nn.Module]
) -> Tensor:
    """(B, n_s, n_t) weights with sum 1 over the teacher's stages."""
    q = torch.stack([query(x) for query, x in zip(queries, student, strict=True)], 1)
    k = torch.stack([key(x) for key, x in zip(keys, teacher, strict=True)], 1)
    return (q @ k.mT).softmax(-1)


@in_float32
def sample_gap(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of each sample, (B,): maps of one shape (B, C, H, W)."""
    return (student - teacher).square().flatten(1).mean(1)


class SemCKD(Method):
    """Args: student_taps, teacher_taps: maps; their numbers may differ."""

    def __init__(self, *, student_taps: Sequence[str] = ("stages",), teacher_taps: Sequence[str] = ("stages",)) -> None:
        super().__init__()
        some(student_taps=student_taps, teacher_taps=teacher_taps)
        self.student_taps, self.teacher_taps = student_taps, teacher_taps

    def needs(self) -> Needs:
        return Needs(
            teacher=True,
            aligned=False,
            student_taps=tuple(self.student_taps),
            teacher_taps=tuple(self.teacher_taps),
            whole_batch=True,
        )

    def setup(self, run: RunContext) -> None:
        maps_only(self, run)
        self.size = int(run.settings["train"]["batch_size"])
        if self.size < SHRINK:
            raise CapabilityError(
                f"methods.{self.label} embeds a batch's similarities in a quarter as many numbers, but train.batch_size is "
                f"{self.size}; set it to {SHRINK} or more."
            )
        student, teacher = list(run.shapes(self).values()), list(run.shapes(self, "teacher").values())
        self.queries = nn.ModuleList(Similarities(self.size) for _ in student)
        self.keys = nn.ModuleList(Similarities(self.size) for _ in teacher)
        self.projections = nn.ModuleList(Projection(s[0], t[0]) for s, t in product(student, teacher))

    @term(weight=400.0)
    def sem_ckd(self, step: Step) -> Tensor:
        student, teacher = list(step.student.features.values()), list(step.teacher.features.values())
        if len(student[0]) > self.size:
            raise CapabilityError(
                f"methods.{step.label} was built for batches of train.batch_size={self.size} samples, but another method makes "
                f"them {len(student[0])}; they cannot share a run: remove one of them."
            )
        shares = attention(student, teacher, self.queries, self.keys)
        gaps = []
        for projection, (x, y) in zip(self.projections, product(student, teacher), strict=True):
            small, target = same_size(x, y)
            gaps.append(sample_gap(projection(small), target))
        return (shares.flatten(1) * torch.stack(gaps, 1)).sum(1).mean() / len(student)
