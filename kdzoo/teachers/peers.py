"""The other learners as one teacher: their mean logits, detached. With two learners, simply the other one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from kdzoo.errors import CapabilityError
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Teacher

if TYPE_CHECKING:
    from kdzoo.engine.run import Run


class Peers(Teacher):
    """Online distillation for any logit method: each learner's teacher is the average of the others."""

    frozen = False

    def build(self, run: Run) -> None:
        if len(run.learners) < 2:
            raise CapabilityError(
                f"teachers.{self.name} averages the other learners, but there are none; add `learners: {{peer: ...}}`."
            )

    def answer(self, batch: Batch, run: Run, view: str, peers: Mapping[str, Output]) -> Output:
        outputs = list(peers.values())
        logits = torch.stack([output.rows.logits for output in outputs]).mean(0)
        return Output(Rows(logits, outputs[0].rows.target, outputs[0].rows.weight))
