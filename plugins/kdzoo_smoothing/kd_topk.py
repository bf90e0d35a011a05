"""KD-topk: of the teacher's answer the k largest probabilities are left; the rest is spread evenly over the other classes.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", 2020 (arXiv 2002.03532).

    rho_i = q_i for the k largest q_i,   rho_i = (1 - sum of these) / (C - k) for the others        q = softmax(z_t / T): (R, C)

k = C and k = C - 1 leave the answer as it is; k = 1 leaves one probability, that of the teacher's first choice. The label
plays no part. Of equal probabilities those of lower classes are taken first. A transform of one method's logits, `kd: {logits:
[kd_topk]}`, at whatever temperature the method has. Best by secondary accounts of the paper: k of 25 % of the classes on
CIFAR-100, 50 % on ImageNet; there it is better than the whole answer.

We have not had the paper's text at hand: that the rest is spread evenly, and not dropped, is our reading.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kdzoo.errors import RecipeError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.method import Method, Transform
from kdzoo.protocol.outputs import Pair, Step
from kdzoo.ranges import at_least, between
from kdzoo_smoothing.targets import several_classes, with_target


def keep_top(log_q: Tensor, k: int) -> Tensor:
    """(R, C) log-probabilities with the k largest as they are and the same one for all others, 1 <= k <= C.

    >>> keep_top(torch.tensor([[0.1, 0.6, 0.2, 0.1]]).log(), 1).exp()
    tensor([[0.1333, 0.6000, 0.1333, 0.1333]])
    """
    classes = log_q.shape[-1]
    if k == classes:
        return log_q
    kept = top_mask(log_q, k)
    others = log_q.masked_fill(kept, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.where(kept, log_q, others - math.log(classes - k))


def top_mask(values: Tensor, k: int) -> Tensor:
    """True at the k largest of each row (R, C), lower classes first among equals."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(values, dtype=torch.bool).scatter(-1, order[..., :k], True)


class KDTopk(Transform):
    """Args: k: how many classes are left. share: k as a share of the classes, rounded, where k is not given; 0.25."""

    changes = frozenset({"teacher"})

    def __init__(self, *, k: int | None = None, share: float = 0.25) -> None:
        super().__init__()
        at_least(1, k=k)
        between(0, 1, share=share)
        self.k, self.share = k, share

    def setup(self, run: RunContext, method: Method) -> None:
        several_classes(run, f"kd_topk of methods.{method.label}")
        if self.k is not None and self.k > run.classes:
            raise RecipeError(
                f"methods.{method.label}.logits: k of kd_topk is {self.k}, but the task has {run.classes} classes; "
                f"choose 1 to {run.classes}, or give a share of the classes instead."
            )

    def kept(self, classes: int) -> int:
        """k for this many classes."""
        return self.k if self.k is not None else max(1, int(self.share * classes + 0.5))

    def forward(self, pair: Pair, step: Step) -> Pair:
        return with_target(pair, lambda log_q: keep_top(log_q, self.kept(log_q.shape[-1])))
