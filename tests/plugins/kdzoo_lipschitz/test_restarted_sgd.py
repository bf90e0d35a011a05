"""Momentum that begins anew."""

from typing import Any

import torch
from kdzoo_lipschitz.restarted_sgd import RestartedSGD


def moved(parameter: Any, optimizer: Any, rates: Any) -> Any:
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return parameter.detach().clone()


def built() -> tuple[Any, Any]:
    parameter = torch.nn.Parameter(torch.zeros(3))
    return parameter, RestartedSGD(lr=1.0, momentum=0.5, weight_decay=0).build([parameter])


def test_at_one_rate_it_is_sgd() -> None:
    assert torch.equal(moved(*built(), [1.0, 1.0]), torch.full((3,), -2.5))


def test_momentum_is_forgotten_when_the_rate_changes() -> None:
    assert torch.equal(moved(*built(), [1.0, 0.5]), torch.full((3,), -1.5))


def test_a_restored_optimizer_still_sees_the_change() -> None:
    parameter, optimizer = built()
    moved(parameter, optimizer, [1.0])
    other, restored = built()
    other.data.copy_(parameter.data)
    restored.load_state_dict(optimizer.state_dict())
    assert torch.equal(moved(other, restored, [0.5]), torch.full((3,), -1.5))
