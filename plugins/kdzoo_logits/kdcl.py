"""KDCL: students that train together, each learning from the best that all of them say.

Guo, Wang, Wu, Yu, Liang, Hu, Luo, "Online Knowledge Distillation via Collaborative Learning", CVPR 2020.

    kdcl_i = T^2 mean_r KL(softmax(z* / T) || softmax(z_i / T))        z: (R, C), y: (R,), K learners
    naive:      z*[r] = z_k[r] of the learner k whose cross-entropy with y is lowest in this row
    min_logit:  z*[r, c] = min_k (z_k[r, c] - z_k[r, y])

Each learner adds it to its own label loss at weight 1. z* is detached, the learner's own share of it included.

A reading: no code was found, and only the abstract says that predictions are combined and images distorted. The two forms, the
choice by row and the temperature are ours; a combination learned by convex weights, one weighted by validation, and an
augmentation of its own for each learner are not built.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kdzoo.functional.decouple import at_label
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.float32 import in_float32
from kdzoo.functional.labels import hard_label
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import LABELS, Needs, term
from kdzoo.protocol.outputs import Step
from kdzoo.ranges import above, at_least
from kdzoo_logits.task_checks import labeled, labels


@in_float32
def surest(logits: Tensor, target: Tensor) -> Tensor:
    """Row by row the logits of whoever gives the label most; `logits` (K, R, C), `target` (R,) or (R, C), result (R, C)."""
    label = hard_label(target)
    best = torch.stack([at_label(z.log_softmax(-1), label) for z in logits]).argmax(0)
    return logits[best, torch.arange(len(best), device=best.device)]


@in_float32
def least_rivals(logits: Tensor, target: Tensor) -> Tensor:
    """Logits above the label's, the lowest over the learners for each class; shapes as in `surest`."""
    label = hard_label(target)
    return torch.stack([z - at_label(z, label).unsqueeze(-1) for z in logits]).amin(0)


COMBINED = {"naive": surest, "min_logit": least_rivals}


class KDCL(Method):
    """Args:
    learners: how many students train together, at least 2.
    combine: how their logits become one teacher's, `min_logit` or `naive`.
    temperature: T > 0.
    """

    def __init__(
        self, *, learners: int = 2, combine: Literal["min_logit", "naive"] = "min_logit", temperature: float = 1.0
    ) -> None:
        super().__init__()
        above(0, temperature=temperature)
        at_least(2, learners=learners)
        self.learners, self.combined, self.temperature = learners, COMBINED[combine], temperature

    def needs(self) -> Needs:
        return Needs(learners=self.learners, turns="together")

    def setup(self, run: RunContext) -> None:
        labeled(self, run)

    @term(over=LABELS)
    def kdcl(self, step: Step) -> Tensor:
        rows = step.student.rows
        everyone = torch.stack([rows.logits, *(peer.rows.logits for peer in step.peers.values())]).detach()
        teacher = self.combined(everyone, labels(step))
        return softened_kl(rows.logits, teacher, temperature=self.temperature, weight=rows.weight_of_labels)
