"""The other learners as one teacher: their mean logits, detached. With two learners, simply the other one."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.teacher import Teacher


class Peers(Teacher):
    """Online distillation for any logit method: each learner's teacher is the average of the others."""

    frozen = False

    def build(self, run: RunContext) -> None:
        if len(run.learners) < 2:
            raise CapabilityError(
                f"teachers.{self.name} averages the other learners, but there are none; add `learners: {{peer: ...}}`."
            )

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        outputs = list(peers.values())
        logits = torch.stack([output.rows.logits for output in outputs]).mean(0)
        return Output(Rows(logits, outputs[0].rows.target, outputs[0].rows.weight))
