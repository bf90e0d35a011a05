"""The closed-form ways back through optimizer steps and clipping, against torch's optimizers and its differentiation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kdzoo_meta.gradients.inner_step import InnerStep
from kdzoo_meta.gradients.optimizer_rules import mirrored
from kdzoo_meta.gradients.pullbacks import AdamRule, Rule, SGDRule, clipped, unclipped
from torch import Tensor

pytestmark = pytest.mark.usefixtures("float64")

RULES: dict[str, Rule] = {
    "sgd": SGDRule(0.3),
    "decay": SGDRule(0.3, weight_decay=0.2),
    "momentum": SGDRule(0.3, momentum=0.9, dampening=0.4, weight_decay=0.1),
    "nesterov": SGDRule(0.3, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": AdamRule(0.3, weight_decay=0.2, decoupled=False),
    "adamw": AdamRule(0.3, weight_decay=0.2),
}
OPTIMIZERS: dict[str, Callable[[list[Tensor]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.3),
    "decay": lambda p: torch.optim.SGD(p, 0.3, weight_decay=0.2),
    "momentum": lambda p: torch.optim.SGD(p, 0.3, momentum=0.9, dampening=0.4, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, 0.3, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 0.3, weight_decay=0.2),
    "adamw": lambda p: torch.optim.AdamW(p, 0.3, weight_decay=0.2),
}


def draws(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_steps_as_torch_does(name: str) -> None:
    start, *gradients = draws(4)
    parameter = start.clone().requires_grad_()
    optimizer = OPTIMIZERS[name]([parameter])
    p, state = start, ()
    for gradient in gradients:
        mirror, states = mirrored(optimizer, {"p": parameter})
        assert mirror["p"] == RULES[name]
        for ours, torchs in zip(state, states["p"], strict=True):
            torch.testing.assert_close(ours.double(), torchs.double())
        p, state = RULES[name].step(p, gradient, state)
        parameter.grad = gradient.clone()
        optimizer.step()
        torch.testing.assert_close(p, parameter.detach(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("limit", [None, 0.5, 100.0])
@pytest.mark.parametrize("name", RULES)
def test_the_way_back_is_torchs_gradient_of_the_step(name: str, limit: float | None, steps: int) -> None:
    """Through several steps, momentum and moments included, of two tensors that clipping ties together."""
    rule = RULES[name]
    theta = {"a": draws(1, 5)[0].requires_grad_(), "b": draws(1, 6)[0].requires_grad_()}
    gradients = [{"a": draws(1, 10 + n)[0].requires_grad_(), "b": draws(1, 20 + n)[0].requires_grad_()} for n in range(steps)]
    seed = {"a": draws(1, 7)[0], "b": draws(1, 8)[0]}
    inner = InnerStep({"a": rule, "b": rule}, {"a": (), "b": ()}, limit)
    trail, at, states = [], dict(theta), inner.states
    for gradient in gradients:
        trail.append((at, gradient, states))
        at, states = inner.step(at, gradient, states)
    value = sum((at[name] * seed[name]).sum() for name in at)
    flat = [*theta.values(), *(g for gradient in gradients for g in gradient.values())]
    expected = iter(torch.autograd.grad(value, flat))
    to_theta, to_states, found = seed, {}, []
    with torch.no_grad():
        for at, gradient, states in reversed(trail):
            to_theta, along, to_states = inner.pull(at, gradient, states, to_theta, to_states)
            found = [along["a"], along["b"], *found]
    for ours, torchs in zip([to_theta["a"], to_theta["b"], *found], expected, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_an_entry_that_never_had_a_gradient_gives_finite_values(name: str) -> None:
    """Rows of an embedding that no batch has used yet: the plain square root has an infinite slope there."""
    rule = RULES[name]
    p, g, v = draws(3)
    g[1] = p[1] = 0.0
    _, along, _ = rule.pull(p, g, (), v, ())
    assert along.isfinite().all()
    assert (along[0] != 0).all()
    g.requires_grad_()
    (automatic,) = torch.autograd.grad(rule.step(p, g, ())[0], g, v)
    torch.testing.assert_close(along, automatic, rtol=1e-12, atol=1e-14)


def test_the_first_adam_step_hides_the_gradient_and_a_warm_one_does_not() -> None:
    """Cold, the update is the gradient's sign, whose slope nearly vanishes."""
    p, g, v = draws(3)
    cold = RULES["adamw"].pull(p, g, (), v, ())[1]
    _, state = RULES["adamw"].step(p, draws(1, 9)[0], ())
    warm = RULES["adamw"].pull(p, g, state, v, ())[1]
    assert cold.norm() < 1e-6 * warm.norm()


def test_clipping_is_torchs_and_a_gradient_within_the_limit_passes() -> None:
    gradient = dict(zip("ab", draws(2), strict=True))
    parameters = [torch.zeros(4, 3, requires_grad=True) for _ in "ab"]
    for parameter, g in zip(parameters, gradient.values(), strict=True):
        parameter.grad = g.clone()
    torch.nn.utils.clip_grad_norm_(parameters, 0.7)
    for parameter, g in zip(parameters, clipped(gradient, 0.7).values(), strict=True):
        torch.testing.assert_close(g, parameter.grad)
    along = dict(zip("ab", draws(2, 3), strict=True))
    assert all(torch.equal(w, along[name]) for name, w in unclipped(gradient, along, 1e6).items())


def test_a_zero_gradient_can_be_clipped_and_pulled_back() -> None:
    zero, along = {"a": torch.zeros(3)}, {"a": torch.ones(3)}
    assert torch.equal(clipped(zero, 1.0)["a"], zero["a"])
    assert torch.equal(unclipped(zero, along, 1.0)["a"], along["a"])


def test_an_optimizer_without_a_closed_form_is_refused_by_name() -> None:
    from kdzoo.errors import CapabilityError

    parameter = torch.zeros(1, requires_grad=True)
    with pytest.raises(CapabilityError, match=r"optimizer Adadelta; it knows SGD, Adam and AdamW: .* or set inner=sgd"):
        mirrored(torch.optim.Adadelta([parameter]), {"p": parameter})
    with pytest.raises(CapabilityError, match="AdamW with amsgrad"):
        mirrored(torch.optim.AdamW([parameter], amsgrad=True), {"p": parameter})
