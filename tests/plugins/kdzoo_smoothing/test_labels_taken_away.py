"""Rows whose labels were taken away (`label_weight` 0) keep a target that nobody may look at."""

import torch
from kdzoo_smoothing.online_ls import right_answers
from kdzoo_smoothing.targets import labels_of

from kdzoo.protocol.outputs import Pair, Rows

TARGET, GIVEN = torch.tensor([2, 1, 0]), torch.tensor([1.0, 0.0, 1.0])


def test_target_transforms_leave_them_alone() -> None:
    rows = Rows(torch.zeros(3, 4), TARGET, label_weight=GIVEN)
    _, known = labels_of(Pair(rows, None), 4)
    assert known[:, 0].tolist() == [True, False, True]


def test_online_label_smoothing_does_not_count_them() -> None:
    logits = torch.eye(4)[TARGET] * 9
    assert right_answers(logits, TARGET)[:, -1].tolist() == [1, 1, 1, 0]
    assert right_answers(logits, TARGET, weight=GIVEN)[:, -1].tolist() == [1, 0, 1, 0]
