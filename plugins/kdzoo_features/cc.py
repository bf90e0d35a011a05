"""CC: the correlations between samples agree, measured by a Gaussian kernel.

Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, "Correlation Congruence for Knowledge Distillation", ICCV 2019, arXiv 1904.01802.

    cc = mean_{ij} (C_s - C_t)^2,   C_ij = exp(-2 gamma) sum_{p <= P} (2 gamma)^p / p! (e_i . e_j)^p

of unit embeddings e (B, width), a trained linear map of each network's features. In practice: gamma 0.4, P = 2, the pooled
vector, embeddings of 128 numbers.

Deviations: the paper's class-balanced samplers and its instance term (that is `kd`) are left out, as in the public
implementations. `CCNeighbors` is what RepDistiller calls "correlation" and its tables show: mean_i of the product of the
gaps |e_s - e_t| of rows i and i + 1, at weight 0.02. It depends on the order of the batch and is another quantity.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdzoo.functional.relations import correlation_congruence, neighbor_correlation
from kdzoo.method import Method, Needs, term
from kdzoo.outputs import Step
from kdzoo_features.checks import at_least, pairs, positive, several_samples, shape_pairs

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


def embeddings(method: Method, run: Run, width: int) -> tuple[nn.Linear, nn.Linear]:
    """Linear maps of the flattened features of student and teacher to `width` numbers."""
    (student, teacher), *_ = shape_pairs(method, run)
    return nn.Linear(prod(student), width), nn.Linear(prod(teacher), width)


class CC(Method):
    """Args: gamma, order: of the kernel's Taylor series. width: of the embeddings. student_tap, teacher_tap: features."""

    def __init__(
        self,
        *,
        gamma: float = 0.4,
        order: int = 2,
        width: int = 128,
        student_tap: str = "pooled",
        teacher_tap: str = "pooled",
    ) -> None:
        super().__init__()
        positive(gamma=gamma, width=width)
        at_least(1, order=order)
        self.gamma, self.order, self.width = gamma, order, width
        self.student_tap, self.teacher_tap = student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)
        self.embed_student, self.embed_teacher = embeddings(self, run, self.width)

    @term()
    def cc(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        e_s, e_t = self.embed_student(student.flatten(1)), self.embed_teacher(teacher.flatten(1))
        return correlation_congruence(e_s, e_t, gamma=self.gamma, order=self.order)


class CCNeighbors(Method):
    """Args: width: of the embeddings. student_tap, teacher_tap: features."""

    def __init__(self, *, width: int = 128, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__()
        positive(width=width)
        self.width, self.student_tap, self.teacher_tap = width, student_tap, teacher_tap

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,), whole_batch=True)

    def setup(self, run: Run) -> None:
        several_samples(self, run)
        self.embed_student, self.embed_teacher = embeddings(self, run, self.width)

    @term(weight=0.02)
    def cc(self, step: Step) -> Tensor:
        student, teacher = pairs(step)[0]
        return neighbor_correlation(self.embed_student(student.flatten(1)), self.embed_teacher(teacher.flatten(1)))
