import torch
from kdzoo_example.logit_matching import logit_matching

from kdzoo.testing import MethodContract


class TestLogitMatching(MethodContract):
    method = "logit_matching"


def test_identical_logits_give_zero_loss() -> None:
    logits = torch.randn(4, 3)
    assert logit_matching(logits, logits) == 0


def test_the_gradient_is_the_difference_over_the_rows() -> None:
    student, teacher = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
    logit_matching(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student - teacher).detach() / 4)
