"""A trained model that answers in train mode: what some released code does where it forgets to put its teacher in eval mode."""

from __future__ import annotations

from collections.abc import Mapping

from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.teachers.frozen import Frozen


class TrainMode(Frozen):
    """A trained model whose parameters stay, and that answers as in training.

    BatchNorm normalizes by each batch's own statistics, and dropout draws. Running statistics move, so the model in eval mode
    changes, too. The released code of OFD and LONDON asks its teachers so; for a fair comparison take `frozen`.

    Args: as of `frozen`.
    """

    frozen = False  # its answers depend on more than the batch, and it changes

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        """The model's answer on a batch, in train mode for as long as it takes."""
        self.train()
        try:
            return super().answer(batch, run, view, student=student, peers=peers)
        finally:
            self.eval()
