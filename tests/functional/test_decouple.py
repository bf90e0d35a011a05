"""The label apart from the other classes."""

import torch

from kdzoo.functional.decouple import at_label, label_or_not, off_label, other_classes


def test_a_row_falls_into_its_label_and_the_rest_in_order() -> None:
    values, label = torch.arange(8.0).view(2, 4), torch.tensor([0, 2])
    assert at_label(values, label).tolist() == [0.0, 6.0]
    assert off_label(values, label).tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]
    assert other_classes(label, 4).tolist() == [[1, 2, 3], [0, 1, 3]]


def test_the_two_events_have_probability_one_together() -> None:
    logits = torch.randn(5, 7, dtype=torch.float64)
    pair = label_or_not(logits, torch.tensor([0, 1, 2, 3, 6])).exp()
    torch.testing.assert_close(pair.sum(-1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(pair[4, 0], logits.softmax(-1)[4, 6])


def test_a_certain_label_leaves_the_other_event_finite() -> None:
    logits = torch.tensor([[1000.0, 0.0, 0.0]])
    assert label_or_not(logits, torch.tensor([0])).isfinite().all()
    assert label_or_not(logits, torch.tensor([1])).isfinite().all()
