"""Logits of a student and a teacher, and labels, in double precision."""

import pytest
import torch
from torch import Tensor

ROWS, CLASSES = 7, 6


@pytest.fixture
def rows() -> tuple[Tensor, Tensor, Tensor]:
    """The student's logits (7, 6), with a gradient, the teacher's, and labels (7,)."""
    generator = torch.Generator().manual_seed(3)
    student, teacher = (3 * torch.randn(2, ROWS, CLASSES, generator=generator, dtype=torch.float64)).unbind()
    return student.requires_grad_(), teacher, torch.randint(0, CLASSES, (ROWS,), generator=generator)
