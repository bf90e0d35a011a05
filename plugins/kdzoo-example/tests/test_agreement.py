import torch
from kdzoo_example.agreement import agreement

from kdzoo.testing import AnalysisContract


class TestAgreement(AnalysisContract):
    analysis = "agreement"


def test_equal_models_agree() -> None:
    logits = torch.randn(5, 3)
    assert agreement(logits, 2 * logits) == 1.0


def test_the_share_of_equal_answers_counts() -> None:
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    teacher = torch.tensor([[2.0, 0.0], [3.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert agreement(student, teacher) == 0.5
