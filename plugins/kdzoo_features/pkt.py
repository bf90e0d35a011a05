"""PKT: each sample's neighbors are as probable for the student as for the teacher.

Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837.

    pkt = mean_{ij} p_t(j | i) log(p_t(j | i) / p_s(j | i)),   p(j | i) ~ (1 + cos(x_i, x_j)) / 2

of embeddings (B, d); widths may differ. The mean over B^2 pairs (not the sum over j) is the reference code's and explains the
usual weight of 30000 (RepDistiller, CIFAR-100, the pooled vector). No deviations.
"""

from __future__ import annotations

from torch import Tensor

from kdzoo.functional.relations import probability_transfer
from kdzoo.protocol.needs import term
from kdzoo.protocol.outputs import Step
from kdzoo_features.relational import Relational


class PKT(Relational):
    """Args: student_tap, teacher_tap: embeddings; maps are flattened."""

    @term(weight=30000.0)
    def pkt(self, step: Step) -> Tensor:
        return probability_transfer(*self.flat(step))
