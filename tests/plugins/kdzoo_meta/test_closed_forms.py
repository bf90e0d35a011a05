"""What the meta-gradient is at the teacher's logits, written out for each loss; and what it does not depend on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdzoo_meta.gradients.jvp import jvp
from kdzoo_meta.gradients.surrogate import surrogate
from kdzoo_meta.metadistil import MetaDistil
from meta_cases import LOSSES, NETS, assert_same, meta_gradient, objective
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.protocol.outputs import MAIN, Batch, map_tensors

pytestmark = pytest.mark.usefixtures("float64")

Closed = Callable[[Tensor, Tensor, Tensor], Tensor]


def at_the_logits(run: Run, batch: Batch, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Student logits, their change along a random direction, teacher logits, and the surrogate's gradient there."""
    method = run.methods["metadistil"]
    assert isinstance(method, MetaDistil)
    about = method.objective(run)
    part = about.parts(batch)[0]
    assert part.answers is not None
    teacher = map_tensors(lambda t: t.detach().requires_grad_() if t.is_floating_point() else t, part.answers[MAIN])
    part = replace(part, answers={MAIN: teacher})
    theta = {name: p.detach() for name, p in run.trainable().items()}
    generator = torch.Generator().manual_seed(seed)
    along = {name: torch.randn(p.shape, generator=generator) for name, p in theta.items()}
    answers, tangents = jvp(lambda p: about.answers(part, p), theta, along)
    extra = {name: p for name, p in theta.items() if name.startswith("methods.")}
    surrogate(lambda a, q: about.total(part, a, q, graph=True), answers, tangents, extra, along).value.backward()
    assert teacher.rows.logits.grad is not None
    assert tangents[0] is not None
    return answers[MAIN].rows.logits, tangents[0], teacher.rows.logits.detach(), teacher.rows.logits.grad


def kl(s: Tensor, ds: Tensor, t: Tensor) -> Tensor:
    p = (t / 3).softmax(1)
    return -(3 / len(t)) * (p * ds).sum()


def logit_mse(s: Tensor, ds: Tensor, t: Tensor) -> Tensor:
    return -(2 / t.numel()) * (t * ds).sum()


def moved_probabilities(s: Tensor, ds: Tensor, temperature: float) -> Tensor:
    q = (s / temperature).softmax(1)
    return q * (ds - (q * ds).sum(1, keepdim=True)) / temperature


def softmax_mse(s: Tensor, ds: Tensor, t: Tensor) -> Tensor:
    return -(2 * 25 / t.numel()) * ((t / 5).softmax(1) * moved_probabilities(s, ds, 5)).sum()


def reverse_kl(s: Tensor, ds: Tensor, t: Tensor) -> Tensor:
    return -(9 / len(t)) * (moved_probabilities(s, ds, 3) * (t / 3).log_softmax(1)).sum()


@pytest.mark.parametrize("losses", ["kl", "logit_mse", "softmax_mse", "reverse_kl"])
@pytest.mark.parametrize("nets", NETS)
def test_the_gradient_at_the_logits_has_the_closed_form(nets: str, losses: str) -> None:
    closed: dict[str, Closed] = {"kl": kl, "logit_mse": logit_mse, "softmax_mse": softmax_mse, "reverse_kl": reverse_kl}
    with objective(nets, losses) as (run, batches):
        s, ds, t, found = at_the_logits(run, batches[0])
    leaf = t.clone().requires_grad_()
    closed[losses](s, ds, leaf).backward()
    torch.testing.assert_close(found, leaf.grad, rtol=1e-11, atol=1e-14)


def test_kl_lowers_the_probability_of_classes_that_rise_with_the_quiz_loss() -> None:
    """(eta alpha / n) p (ds - <p, ds>) along +v, here with w for -eta v: each row sums to zero."""
    alpha = 0.9
    methods = {"kd": {"temperature": 3.0, "weights": {"kd": alpha}}}
    with objective("mlp", methods=methods) as (run, batches):
        _, ds, t, found = at_the_logits(run, batches[0])
    p = (t / 3).softmax(1)
    torch.testing.assert_close(found, -(alpha / len(t)) * p * (ds - (p * ds).sum(1, keepdim=True)), rtol=1e-11, atol=1e-14)
    assert found.sum(1).abs().max() < 1e-16


def test_normalized_features_have_the_closed_form() -> None:
    """-(2 weight / B d) <t^, ds^> at the teacher's features, through a projector that moves with the student."""
    with objective("mlp", methods={"meta_test_hints": {}}) as (run, batches):
        about = run.methods["metadistil"].objective(run)
        part = about.parts(batches[0])[0]
        theta = {name: p.detach() for name, p in run.trainable().items()}
        along = {name: torch.randn_like(p) for name, p in theta.items()}
        weight, bias = (f"methods.meta_test_hints.project.{name}" for name in ("weight", "bias"))
        (teacher,) = part.answers[MAIN].features.values()

        def unit(p: Any) -> list[Tensor]:
            (feature,) = about.answers(part, p)[MAIN].features.values()
            return [F.normalize(F.linear(feature, p[weight], p[bias]), dim=1)]

        _, (moved,) = jvp(unit, theta, along)
        expected = torch.autograd.grad(
            -(2 * 3.0 / teacher.numel()) * (F.normalize(teacher, dim=1) * moved).sum(), teacher, retain_graph=True
        )[0]
        answers, tangents = jvp(lambda p: about.answers(part, p), theta, along)
        extra = {name: theta[name] for name in (weight, bias)}
        value = surrogate(lambda a, q: about.total(part, a, q, graph=True), answers, tangents, extra, along).value
        torch.testing.assert_close(torch.autograd.grad(value, teacher)[0], expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("losses", ["kl", "softmax_mse", "reverse_kl", "decoupled"])
def test_a_constant_added_to_a_row_of_teacher_logits_changes_nothing(losses: str) -> None:
    with objective("mlp", losses) as (run, batches):
        before = meta_gradient(run, batches)
        with torch.no_grad():
            run.model("teacher").fc.bias += 5.0
        assert_same(meta_gradient(run, batches), before, 1e-10)


@pytest.mark.parametrize("losses", LOSSES)
def test_the_order_of_the_samples_does_not_matter(losses: str) -> None:
    with objective("batchnorm", losses) as (run, (batch,)):
        order = torch.randperm(batch.size)
        mixed = map_tensors(lambda t: t[order] if t.ndim and len(t) == batch.size else t, batch)
        assert_same(meta_gradient(run, [mixed]), meta_gradient(run, [batch]), 1e-11)


def test_a_distillation_weight_of_zero_gives_exactly_zero() -> None:
    """A scheduled weight may be 0 for a while; an unscheduled one is refused, see the guards."""
    with objective("mlp") as (run, batches):
        run.scheduled = frozenset({"methods.kd.weights.kd"})
        run.weights_now["kd"]["kd"] = 0.0
        assert all((g == 0).all() for g in meta_gradient(run, batches).values())
