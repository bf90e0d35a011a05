"""DLB: batches that overlap, and answers that are kept for one step."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kdzoo_logits.dlb import DLB

from kdzoo.functional.divergence import softened_kl
from kdzoo.protocol.outputs import Batch


class Samples:
    """Eight samples, whose pixels say their index and the epoch they were drawn in."""

    def batches(self, split: Any, order: Any, *, epoch: Any, train: Any) -> Iterator[Batch]:
        for index in order:
            yield Batch(
                inputs=torch.stack((index, torch.full_like(index, epoch)), -1).float(),
                target=index % 5,
                index=index,
                size=len(index),
                whole=len(index),
            )

    def example(self) -> None:
        return None


@pytest.fixture
def run(make_run: Callable[..., Any]) -> Any:
    run = make_run(classes=5, samples=8)
    run.task, run.processes = Samples(), SimpleNamespace(chunk=lambda index: index)
    return run


@pytest.fixture
def dlb(run: Any) -> Any:
    method = DLB(temperature=3.0)
    method.setup(run)
    return method


def batch_of(run: Any, index: Any, epoch: int = 0) -> Any:
    return replace(next(run.task.batches("train", [torch.tensor(index)], epoch=epoch, train=True)), epoch=epoch)


def stepped(make_step: Any, batch: Any, logits: Any) -> Any:
    step = make_step(logits, target=batch.target, index=batch.index)
    return replace(step, batch=batch)


def test_the_first_batch_has_nothing_to_repeat(dlb: Any, run: Any, make_step: Any) -> None:
    batch = dlb.prepare(batch_of(run, [4, 2, 7]), run)
    assert batch.index.tolist() == [4, 2, 7]
    assert dlb.dlb(stepped(make_step, batch, torch.randn(3, 5))) == 0


def test_the_next_batch_repeats_the_new_samples_with_another_augmentation(dlb: Any, run: Any, make_step: Any) -> None:
    first = dlb.prepare(batch_of(run, [4, 2, 7]), run)
    dlb.after_step([stepped(make_step, first, torch.randn(3, 5))], run)
    second = dlb.prepare(batch_of(run, [0, 1, 3], epoch=0), run)
    assert (second.size, second.whole) == (6, 6)
    assert sorted(second.index[:3].tolist()) == [2, 4, 7]
    assert second.index[3:].tolist() == [0, 1, 3]
    assert second.inputs[:, 0].tolist() == second.index.tolist()
    assert (second.inputs[:3, 1] != 0).all()
    dlb.after_step([stepped(make_step, second, torch.randn(6, 5))], run)
    third = dlb.prepare(batch_of(run, [5, 6]), run)
    assert sorted(third.index[:3].tolist()) == [0, 1, 3], "repeated samples are not repeated again"


def test_the_loss_holds_a_repeated_sample_to_its_last_logits(dlb: Any, run: Any, make_step: Any) -> None:
    first = dlb.prepare(batch_of(run, [2, 4, 7]), run)
    last = torch.randn(3, 5)
    dlb.after_step([stepped(make_step, first, last)], run)
    second = dlb.prepare(batch_of(run, [0, 1]), run)
    logits = torch.randn(5, 5)
    loss = dlb.dlb(stepped(make_step, second, logits))
    torch.testing.assert_close(loss, softened_kl(logits[:3], last, temperature=3.0))


def test_the_shares_of_micro_batches_add_up(dlb: Any, run: Any, make_step: Any) -> None:
    first = dlb.prepare(batch_of(run, [2, 4, 7]), run)
    dlb.after_step([stepped(make_step, first, torch.randn(3, 5))], run)
    whole = dlb.prepare(batch_of(run, [0, 1, 3]), run)
    logits = torch.randn(6, 5)
    parts = []
    for half in (slice(0, 2), slice(2, 6)):
        extra = {name: value[half] for name, value in whole.extra.items()}
        micro = replace(whole, index=whole.index[half], target=whole.target[half], extra=extra)
        parts.append(dlb.dlb(stepped(make_step, micro, logits[half])) * len(logits[half]) / 6)
    torch.testing.assert_close(sum(parts), dlb.dlb(stepped(make_step, whole, logits)))


def test_what_waits_for_the_next_step_is_in_the_checkpoint(dlb: Any) -> None:
    assert dlb.state_dict().keys() == {"last", "fresh"}
