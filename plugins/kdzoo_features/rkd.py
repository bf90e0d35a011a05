"""RKD: the student keeps the distances and angles between the teacher's embeddings.

Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068.

    distance = mean_{ij} smoothL1(d_s(i, j), d_t(i, j)),          d(i, j) = ||x_i - x_j|| / mean ||x_i - x_j||
    angle    = mean_{ijk} smoothL1(c_s(i, j, k), c_t(i, j, k)),   c = cosine of the angle at i between j and k

of embeddings (B, d); widths may differ. The means run over all B^2 pairs and B^3 triplets, zero diagonals included, as in the
public code; the cost of the second term is O(B^3). In practice: the pooled vector, weights 25 and 50 (the paper and
RepDistiller). No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.relations import angle_relation, distance_relation
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_features.relational import Relational


class RKD(Relational):
    """Args: student_tap, teacher_tap: embeddings; maps are flattened."""

    @term(weight=25.0)
    def distance(self, step: Step) -> Tensor:
        return distance_relation(*self.flat(step))

    @term(weight=50.0)
    def angle(self, step: Step) -> Tensor:
        return angle_relation(*self.flat(step))
