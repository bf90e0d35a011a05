"""Law of the device: nothing stays on the CPU, and nothing is read back, on a device that no machine needs to have."""

from __future__ import annotations

import pytest

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.protocol.outputs import Progress
from kdzoo.testing.laws.absent_device import DeviceError, on_absent_device
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.tiny import first_window


class DeviceLaws(Laws):
    """A step, its teacher update and its `after_step` run on a device without the host's tensors and without its waiting."""

    # 12
    def test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back(self) -> None:
        settings = self.make().settings
        for number in range(len(StagePlan.of(assemble(settings), 1, {}).stages)):
            run = assemble(settings)
            if self.reads_back:
                with pytest.raises(DeviceError, match="makes the host wait"):
                    self.window_on_absent_device(run, number)
            else:
                self.window_on_absent_device(run, number)

    def window_on_absent_device(self, run: Run, stage: int) -> None:
        """Train on the first window, on a device that refuses what the law forbids."""
        window, batches = first_window(run), Feed(run).batches
        with on_absent_device(run) as move, StagePlan.of(run, 1, {}).entered(run, stage):
            window = [move(batch) for batch in window]
            run.progress = Progress(0, 1, window[0].number, batches)
            update_teacher(run, window)
            for batch in window:
                run.progress = Progress(0, 1, batch.number, batches)
                train_step(run, batch)
