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

from torch import Tensor, nn

from kdzoo.functional.relations import correlation_congruence, neighbor_correlation
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_features.relational import Relational


class Embedding(Relational):
    """Args: width: of the embeddings. student_tap, teacher_tap: features."""

    def __init__(self, *, width: int = 128, student_tap: str = "pooled", teacher_tap: str = "pooled") -> None:
        super().__init__(student_tap=student_tap, teacher_tap=teacher_tap)
        above(0, width=width)
        self.width = width

    def setup(self, run: RunContext) -> None:
        super().setup(run)
        student, teacher = self.widths(run)
        self.embed_student, self.embed_teacher = nn.Linear(student, self.width), nn.Linear(teacher, self.width)

    def embedded(self, step: Step) -> tuple[Tensor, Tensor]:
        """Both embeddings, (B, width)."""
        student, teacher = self.flat(step)
        return self.embed_student(student), self.embed_teacher(teacher)


class CC(Embedding):
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
        super().__init__(width=width, student_tap=student_tap, teacher_tap=teacher_tap)
        above(0, gamma=gamma)
        at_least(1, order=order)
        self.gamma, self.order = gamma, order

    @term()
    def cc(self, step: Step) -> Tensor:
        return correlation_congruence(*self.embedded(step), gamma=self.gamma, order=self.order)


class CCNeighbors(Embedding):
    """Args: width: of the embeddings. student_tap, teacher_tap: features."""

    @term(weight=0.02)
    def cc(self, step: Step) -> Tensor:
        return neighbor_correlation(*self.embedded(step))
