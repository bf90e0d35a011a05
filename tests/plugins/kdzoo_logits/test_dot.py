"""DOT: two momenta."""

import torch
from kdzoo_logits.dot import dot_step


def test_without_a_difference_of_momenta_it_is_sgd_on_the_sum() -> None:
    task, distill = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    reference = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    sgd = torch.optim.SGD([reference], lr=0.1, momentum=0.9, weight_decay=0.01)
    p, v_task, v_kd = reference.detach().clone(), None, None
    for g_task, g_kd in zip(task, distill, strict=True):
        reference.grad = g_task + g_kd
        sgd.step()
        p, v_task, v_kd = dot_step(p, (v_task, g_task), (v_kd, g_kd), lr=0.1, delta=0.0, weight_decay=0.01)
    torch.testing.assert_close(p, reference.detach())


def test_the_distillation_gradient_lives_longer() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    p, v_task, v_kd = dot_step(zero, (None, one), (None, one), lr=1.0, delta=0.05)
    _, v_task, v_kd = dot_step(p, (v_task, zero), (v_kd, zero), lr=1.0, delta=0.05)
    torch.testing.assert_close((v_task, v_kd), (torch.tensor([0.85]), torch.tensor([0.95])))


def test_a_parameter_of_the_task_alone_uses_the_plain_momentum() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    p, v_task, v_kd = dot_step(zero, (None, one), (None, None), lr=1.0)
    _, v_task, v_kd = dot_step(p, (v_task, zero), (v_kd, None), lr=1.0)
    assert v_kd is None
    torch.testing.assert_close(v_task, torch.tensor([0.9]))
