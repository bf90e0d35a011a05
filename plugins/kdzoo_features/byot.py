"""BYOT: the earlier stages of a network, with classifiers of their own, learn from its last one.

Zhang, Song, Gao, Chen, Bao, Ma, "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self
Distillation", ICCV 2019, arXiv 1905.08094; in the form of the authors' journal code.

    h_i = pool(S_i(F_i * sigmoid(up(A_i(F_i))))), z_i = linear(h_i)        F_i: (B, C_i, H_i, W_i), each stage but the last
    labels   = sum_i CE(z_i, y)                                            y: (B,)
    soft     = sum_i mean_b H(softmax(z / T), softmax(z_i / T))            z: (B, C), the network's own logits, detached
    features = sum_i ||W_i h_i - f||_2 over the whole batch                f: (B, d), its pooled vectors, detached

The sum of `features` leaves out the last of these stages. A_i and S_i are separable convolutions: A_i halves the map, and its
upsampled answer weighs the positions; S_i leads through the shapes of all later stages. They are the method's own and thrown
away; what is deployed is the network as it is, which learns its labels by `hard_label`. There is no teacher.

In the authors' code: T 3 without T^2, weights 0.7, 0.3 and 0.03, the norm neither squared nor divided, so that it grows with
the batch (128). CIFAR-100, 250 epochs with AutoAugment and Cutout. Deviations: their ensemble of all classifiers, which adds
parameters, is not offered; strides follow the network's stages, where theirs are all 2.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.functional.divergence import soft_cross_entropy
from kdzoo.functional.features import length, pooled
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above
from kdzoo_features.tap_checks import Shape, several_samples


def separable(channels: int, out: int, *, stride: int) -> nn.Sequential:
    """Two depthwise 3x3 convolutions, each with a pointwise one, BatchNorm and ReLU; the first has the stride."""
    layers: list[nn.Module] = []
    for width, step in ((channels, stride), (out, 1)):
        depthwise = nn.Conv2d(channels, channels, 3, stride=step, padding=1, groups=channels, bias=False)
        pointwise = nn.Conv2d(channels, width, 1, bias=False)
        for convolution in (depthwise, pointwise):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        layers += [depthwise, pointwise, nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


class EarlyExit(nn.Module):
    """Attention, the way through the later stages' shapes, a classifier, and a map to the width of the pooled features."""

    def __init__(self, stages: list[Shape], *, classes: int, width: int) -> None:
        super().__init__()
        first, last = stages[0][0], stages[-1][0]
        self.attention = nn.Sequential(separable(first, first, stride=2), nn.BatchNorm2d(first))
        steps = [separable(a[0], b[0], stride=max(1, round(a[1] / b[1]))) for a, b in pairwise(stages)]
        self.scale = nn.Sequential(*steps)
        self.classifier, self.adapt = nn.Linear(last, classes), nn.Linear(last, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, width) and logits (B, classes) of a stage's map (B, C, H, W)."""
        seen = F.interpolate(self.attention(x).relu(), size=x.shape[-2:], mode="bilinear", align_corners=False)
        features = pooled(self.scale(x * seen.sigmoid()))
        return self.adapt(features), self.classifier(features)


@in_float32
def distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Euclidean length of the gap between two tensors, all entries together."""
    return length((student - teacher).flatten(), 0)


class BYOT(Method):
    """Args: temperature: T > 0. taps: the stages' maps, the last of which is the network's own. pooled_tap: vectors."""

    def __init__(self, *, temperature: float = 3.0, taps: str = "stages", pooled_tap: str = "pooled") -> None:
        super().__init__()
        above(0, temperature=temperature)
        self.temperature, self.stage_taps, self.pooled_tap = temperature, taps, pooled_tap

    def needs(self) -> Needs:
        return Needs(student_taps=(self.stage_taps, self.pooled_tap), whole_batch=True, capabilities=frozenset({"classes"}))

    def setup(self, run: RunContext) -> None:
        several_samples(self, run)
        shapes = run.shapes(self)
        vector = shapes.pop(self.pooled_tap)
        stages = list(shapes.values())
        if len(stages) < 2 or any(len(shape) != 3 for shape in stages):
            raise CapabilityError(
                f"methods.{self.label} puts classifiers on the maps before a network's last stage, but the taps of the student "
                f"have shapes {', '.join(map(str, stages))}; choose a convolutional student with two stages or more."
            )
        later = [stages[number:] for number in range(len(stages) - 1)]
        self.exits = nn.ModuleList(EarlyExit(rest, classes=run.classes, width=prod(vector)) for rest in later)

    def answers(self, step: Step) -> list[tuple[Tensor, Tensor]]:
        """Features and logits of each exit, once for all terms."""
        maps = [x for tap, x in step.student.features.items() if tap != self.pooled_tap]
        return step.cached("byot", lambda: [head(x) for head, x in zip(self.exits, maps[:-1], strict=True)])

    @term(weight=0.7, over=LABELS)
    def labels(self, step: Step) -> Tensor:
        rows = step.student.rows
        if rows.target is None:
            raise CapabilityError(f"methods.{step.label} needs labels, but this task's rows have none.")
        losses = [cross_entropy(logits, rows.target, weight=rows.weight_of_labels) for _, logits in self.answers(step)]
        return torch.stack(losses).sum()

    @term(weight=0.3)
    def soft(self, step: Step) -> Tensor:
        rows, goal, t = step.student.rows, step.student.rows.logits.detach(), self.temperature
        losses = [soft_cross_entropy(z, goal, temperature=t, weight=rows.weight) for _, z in self.answers(step)]
        return torch.stack(losses).sum()

    @term(weight=0.03)
    def features(self, step: Step) -> Tensor:
        goal = step.student.features[self.pooled_tap].flatten(1).detach()
        gaps = [distance(features, goal) for features, _ in self.answers(step)[:-1]]
        return torch.stack(gaps).sum() if gaps else goal.new_zeros(())
