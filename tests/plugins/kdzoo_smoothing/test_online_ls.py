"""Online label smoothing: the targets that an epoch leaves for the next one."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from kdzoo_smoothing.online_ls import OnlineLS, class_targets_loss, means_of, right_answers
from torch import Tensor

from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.outputs import Output, Progress, Rows
from kdzoo.testing import first_window, tiny_recipe, tiny_run

LOGITS = torch.tensor([[4.0, 0.0, 0.0], [0.0, 3.0, 1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
LABEL = torch.tensor([0, 1, 0, 1])  # the last one is wrong


def step(logits: Tensor, label: Tensor) -> SimpleNamespace:
    return SimpleNamespace(student=Output(Rows(logits, label)))


def method(start: str = "uniform") -> OnlineLS:
    made = OnlineLS(start=start)
    made.setup(SimpleNamespace(classes=3))
    return made


def context(batch: int, batches: int, gather: Callable[[Tensor], Tensor] = torch.clone) -> SimpleNamespace:
    return SimpleNamespace(progress=Progress(0, 3, batch, batches), gather=gather)


def test_only_right_answers_count() -> None:
    sums = right_answers(LOGITS, LABEL)
    assert sums[:, -1].tolist() == [2.0, 1.0, 0.0]
    p = LOGITS.softmax(-1)
    torch.testing.assert_close(sums[:2, :-1], torch.stack([p[0] + p[2], p[1]]))


def test_a_class_that_was_never_right_gets_the_uniform_target() -> None:
    targets = means_of(right_answers(LOGITS, LABEL))
    torch.testing.assert_close(targets[2], torch.full((3,), 1 / 3))
    torch.testing.assert_close(targets.sum(-1), torch.ones(3))


def test_targets_change_after_an_epoch_and_not_within() -> None:
    ours = method()
    ours.after_step([step(LOGITS[:2], LABEL[:2])], context(0, 2))
    assert torch.equal(ours.targets_by_class, torch.full((3, 3), 1 / 3))
    ours.after_step([step(LOGITS[2:], LABEL[2:])], context(1, 2))
    torch.testing.assert_close(ours.targets_by_class, means_of(right_answers(LOGITS, LABEL)))
    assert not ours.sums.any()


def test_micro_batches_give_the_targets_of_the_whole_batch() -> None:
    whole, parts = method(), method()
    whole.after_step([step(LOGITS, LABEL)], context(0, 1))
    parts.after_step([step(LOGITS[:1], LABEL[:1]), step(LOGITS[1:], LABEL[1:])], context(0, 1))
    torch.testing.assert_close(whole.targets_by_class, parts.targets_by_class)


def test_two_processes_have_the_targets_of_one() -> None:
    """Sums and counts are added before they are divided: one process has three samples here, the other has one."""
    other = right_answers(LOGITS[3:], torch.tensor([2]))[None]
    ours = method()
    ours.after_step([step(LOGITS[:3], LABEL[:3])], context(0, 1, lambda mine: torch.cat([mine, other])))
    torch.testing.assert_close(ours.targets_by_class, means_of(right_answers(LOGITS, torch.tensor([0, 1, 0, 2]))))


def test_from_zeros_the_first_epoch_knows_labels_only() -> None:
    assert class_targets_loss(LOGITS, LABEL, method("zeros").targets_by_class) == 0


def test_targets_that_are_the_labels_give_their_loss() -> None:
    torch.testing.assert_close(class_targets_loss(LOGITS, LABEL, torch.eye(3)), cross_entropy(LOGITS, LABEL))


def test_a_row_without_a_label_teaches_nothing() -> None:
    label, weight = torch.tensor([0, -100, 0, 1]), torch.tensor([1.0, 0.0, 1.0, 1.0])
    kept = [0, 2, 3]
    found = class_targets_loss(LOGITS, label, torch.full((3, 3), 1 / 3), weight=weight)
    torch.testing.assert_close(found, class_targets_loss(LOGITS[kept], label[kept], torch.full((3, 3), 1 / 3)))
    torch.testing.assert_close(right_answers(LOGITS, label), right_answers(LOGITS[kept], label[kept]))


def test_the_state_of_an_epoch_is_in_the_checkpoint() -> None:
    with tiny_run(tiny_recipe("online_ls")) as run:
        first_window(run)
        assert set(run.methods["online_ls"].state_dict()) == {"targets_by_class", "sums"}
