"""CRD in other hands: their memories start as ours, and their negatives are those that ours drew."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from kdzoo_features import crd
from torch import Tensor

from benchmarks.peers.steps import Scene


class Contrast:
    """`rows` are the memory rows (B, 1 + K) of each training step, once kdzoo has trained: the sample itself, its negatives.

    Args: memory: their `ContrastMemory`, whose first memory is the student's.
    """

    NEGATIVES: ClassVar[int] = 64

    def __init__(self, scene: Scene, memory: Any) -> None:
        (method,) = [m for m in scene.run.methods.values() if isinstance(m, crd.CRD)]
        memory.memory_v1.copy_(method.memory_student)
        memory.memory_v2.copy_(method.memory_teacher)
        self.rows: list[Tensor] = []
        scores = method._scores

        def recorded(step: Any) -> tuple[Tensor, Tensor]:
            if torch.is_grad_enabled():  # the first look at the first batch draws the same
                uniform = step.uniform("negatives", method.negatives)
                negatives = crd.other_classes(uniform, step.index, method._label(step), method.labels)
                self.rows.append(torch.cat([step.index[:, None], negatives], 1))
            return scores(step)

        method._scores = recorded  # type: ignore[method-assign]
