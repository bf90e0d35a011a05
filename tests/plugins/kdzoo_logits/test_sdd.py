"""SDD: logits of many regions."""

import torch
from kdzoo_logits.sdd import region_kl, region_weights

from kdzoo.functional.divergence import softened_kl


def test_one_region_is_kd(rows) -> None:
    student, teacher, target = rows
    torch.testing.assert_close(region_kl(student.unsqueeze(-1), teacher.unsqueeze(-1), target), softened_kl(student, teacher))


def test_a_region_that_disagrees_with_the_whole_image_counts_twice() -> None:
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    teacher = torch.stack((torch.stack((right, right, wrong), -1), torch.stack((wrong, wrong, right), -1)))
    assert region_weights(teacher, torch.tensor([0, 0])).tolist() == [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]


def test_a_masked_sample_does_not_count() -> None:
    student, teacher, target = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0, 1, 2])
    weight = torch.tensor([1.0, 1.0, 0.0])
    masked = region_kl(student, teacher, target, weight=weight)
    torch.testing.assert_close(masked, region_kl(student[:2], teacher[:2], target[:2]))
