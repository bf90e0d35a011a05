"""SimKD: the student reuses the teacher's classifier and only learns the features that it needs.

Chen, Mei, Zhang, Wang, Feng, Chen, "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, arXiv 2203.14001.

    features = mean (P(F_s) - F_t)^2,   P: (B, C_s, H, W) -> (B, C_t, H, W)

P is 1x1, 3x3 and 1x1 convolutions with BatchNorm and ReLU, of width C_t / factor. The larger map is average-pooled. No labels
are used: run it without `hard_label`. What is deployed is the student up to the tap, P, and the teacher's classifier, so the
result has more parameters and computation than the student, which tables must say (they are counted in the results).

In practice: the maps that the classifiers pool (`classified`), factor 2 (4 and 8 are smaller), weight 1. No deviations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kdzoo.functional.connectors import ClassifierProjector
from kdzoo.functional.features import mean_squared_error, pooled, pooled_to, same_size
from kdzoo.models.tap_names import CLASSIFIED
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least
from kdzoo_features.tap_checks import map_pairs, pairs, teacher_classifier
from kdzoo_features.truncate import up_to


class ReusedClassifier(nn.Module):
    """The student's trunk, the projector at the smaller size, and the teacher's classifier on the pooled result."""

    def __init__(self, trunk: nn.Module, projector: nn.Module, classifier: nn.Linear, *, size: tuple[int, int]) -> None:
        super().__init__()
        self.trunk, self.projector, self.classifier, self.size = trunk, projector, classifier, size

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(pooled(self.projector(pooled_to(self.trunk(x), self.size))))
        return logits


class SimKD(Method):
    """Args: factor: the teacher's channels over the projector's width. student_tap, teacher_tap: maps."""

    def __init__(self, *, factor: int = 2, student_tap: str = CLASSIFIED, teacher_tap: str = CLASSIFIED) -> None:
        super().__init__()
        at_least(1, factor=factor)
        self.factor, self.student_tap, self.teacher_tap = factor, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, rows=False, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def setup(self, run: RunContext) -> None:
        (student, teacher), *_ = map_pairs(self, run)
        for name, value in teacher_classifier(self, run, channels=teacher[0], tap=self.teacher_tap).items():
            self.register_buffer(name, value)
        self.projector = ClassifierProjector(student[0], teacher[0], factor=self.factor)
        self.size = min(student[1], teacher[1]), min(student[2], teacher[2])
        self._trunk(run)  # find out now, not after the training, whether it can be deployed

    @term()
    def features(self, step: Step) -> Tensor:
        student, teacher = same_size(*pairs(step)[0])
        return mean_squared_error(self.projector(student), teacher)

    def deploy(self, run: RunContext) -> nn.Module:
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        classifier = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], device=weight.device)
        with torch.no_grad():
            classifier.weight.copy_(weight)
            classifier.bias.copy_(bias)
        return ReusedClassifier(self._trunk(run), self.projector, classifier, size=self.size)

    def _trunk(self, run: RunContext) -> nn.Module:
        return up_to(run.student, self.student_tap, run.task.example().inputs)
