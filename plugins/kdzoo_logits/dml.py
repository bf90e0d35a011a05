"""DML: students that train together, each learning from its peers' predictions.

Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018 (arXiv 1706.00384).

    dml_i = 1 / (K - 1) sum_{j != i} mean_r KL(softmax(z_j) || softmax(z_i))        z: (R, C)

Each learner adds it to its own label loss at weight 1; temperature 1, no T^2; peers are detached, so each loss moves its own
learner only. All K step on predictions from one set of forwards. The released TensorFlow code sums over the peers without
1/(K - 1), which is the same for two, and adds 1e-8 inside the logarithm; neither is done here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdzoo.functional.divergence import kl_divergence
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import at_least


class DML(Method):
    """Args: learners: how many students train together, at least 2."""

    def __init__(self, *, learners: int = 2) -> None:
        super().__init__()
        at_least(2, learners=learners)
        self.learners = learners

    def needs(self) -> Needs:
        return Needs(learners=self.learners, turns="together")

    @term()
    def dml(self, step: Step) -> Tensor:
        rows = step.student.rows
        gaps = [kl_divergence(rows.logits, peer.rows.logits, weight=rows.weight) for peer in step.peers.values()]
        return torch.stack(gaps).mean()
