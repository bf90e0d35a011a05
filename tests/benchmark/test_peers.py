"""The comparison with others' trainers tells equal steps from others, on a plain loop of our own in the place of theirs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers.steps import Peer, Scene, Train, compared, stepped

SMALL = {"student": "lenet5", "teacher": "lenet5"}


def loop(temperature: float) -> Peer:
    """KD written out, beside `cifar100/kd`."""

    def theirs(scene: Scene) -> Train:
        student, teacher = scene.twins()
        optimizer = scene.optimizer(student)

        def losses() -> Iterator[Tensor]:
            for batch in scene.batches["main"]:
                with torch.no_grad():
                    p = (teacher(batch.inputs) / temperature).softmax(1)
                z = student(batch.inputs)
                kl = F.kl_div((z / temperature).log_softmax(1), p, reduction="batchmean")
                yield 0.1 * F.cross_entropy(z, batch.target) + 0.9 * temperature**2 * kl

        return lambda: stepped(optimizer, losses())

    return Peer("cifar100/kd", theirs, **SMALL)


@pytest.mark.parametrize(("temperature", "equal"), [(4.0, True), (3.0, False)])
def test_equal_steps_are_told_from_others(temperature: float, equal: bool) -> None:
    peer = loop(temperature)
    gap = compared(peer)
    assert (gap.worst < peer.limit) is equal
    assert gap.statistics is None
    assert torch.get_default_dtype() is torch.float32
