"""Laws of micro-batches: how a batch is split changes nothing."""

from __future__ import annotations

import pytest
import torch

from kdzoo.engine.assemble import assemble
from kdzoo.errors import CapabilityError
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.tiny import first_window


class MicroBatchLaws(Laws):
    """Gradients do not depend on `train.accumulate`."""

    # 11
    def test_micro_batches_are_invisible(self) -> None:
        if assemble(self.make().settings).own_needs[self.method].whole_batch:
            halved = self.make(train={"epochs": 1, "batch_size": 12, "accumulate": 2})
            with pytest.raises(CapabilityError, match=r"train\.accumulate=1"):
                assemble(halved.settings)
            return
        for run in self.stages():
            with run.mode(training=False):
                batch = first_window(run)[0]
                whole, halves = self.gradients(run, [batch]), self.gradients(run, list(run.task.split(batch, 2)))
            for name, grad in whole.items():
                near = torch.allclose(halves[name], grad, rtol=2e-4, atol=2e-6)
                assert near, f"splitting the batch changes the gradient of {name}"
