"""Closed forms of the losses on tokens, and what must not change them: padding, smaller micro-batches; a perfect student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from kdzoo_text.inputs import padded
from text_cases import DISTILLED, STUDENT, TEACHER
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.functional import tokens
from kdzoo.protocol.outputs import Batch
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
GENERATOR = torch.Generator().manual_seed(3)
STUDENT_STATES, TEACHER_STATES = torch.randn(2, 2, 4, 6, generator=GENERATOR, dtype=torch.float64).unbind(0)
Loss = Callable[..., Tensor]


def by_hand(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """A mean over texts of a mean over tokens, by loops."""
    texts = []
    for text, length in enumerate(MASK.sum(1).tolist()):
        pairs = [loss(STUDENT_STATES[text, t], TEACHER_STATES[text, t]) for t in range(length)]
        texts.append(torch.stack(pairs).mean())
    return torch.stack(texts).mean()


def test_token_mse_is_a_mean_over_tokens_then_texts() -> None:
    expected = by_hand(lambda s, t: (s - t).square().mean())
    torch.testing.assert_close(tokens.token_mse(STUDENT_STATES, TEACHER_STATES, MASK), expected)


def test_token_cosine_is_one_minus_the_cosine() -> None:
    expected = by_hand(lambda s, t: 1 - torch.cosine_similarity(s, t, dim=0))
    torch.testing.assert_close(tokens.token_cosine(STUDENT_STATES, TEACHER_STATES, MASK), expected)


def attention(states: Tensor, length: int, head: int) -> Tensor:
    """Log-probabilities of one head (2 heads of 3) over the tokens that there are."""
    own = states[:length, 3 * head : 3 * head + 3]
    return (own @ own.T / 3**0.5).log_softmax(1)


def test_attention_kl_is_over_the_tokens_of_the_text() -> None:
    texts = []
    for text, length in enumerate(MASK.sum(1).tolist()):
        heads = []
        for head in range(2):
            log_s, log_t = (attention(x[text], length, head) for x in (STUDENT_STATES, TEACHER_STATES))
            heads.append((log_t.exp() * (log_t - log_s)).sum(1).mean())
        texts.append(torch.stack(heads).mean())
    relations = [tokens.scores(x, x, 2) for x in (STUDENT_STATES, TEACHER_STATES)]
    torch.testing.assert_close(tokens.attention_kl(*relations, MASK), torch.stack(texts).mean())


def test_score_mse_counts_pairs_of_tokens() -> None:
    texts = []
    own, other = (tokens.scores(x, x, 2) for x in (STUDENT_STATES, TEACHER_STATES))
    for text, length in enumerate(MASK.sum(1).tolist()):
        texts.append((own - other)[text, :, :length, :length].square().mean())
    torch.testing.assert_close(tokens.score_mse(own, other, MASK), torch.stack(texts).mean())


@pytest.mark.parametrize("loss", [tokens.token_mse, tokens.token_cosine, tokens.attention_kl, tokens.attention_mse])
def test_padding_has_neither_a_value_nor_a_gradient(loss: Loss) -> None:
    states = STUDENT_STATES.clone().requires_grad_()
    wild = torch.where(MASK[..., None].bool(), states, 1e4 * states)
    attends = loss in (tokens.attention_kl, tokens.attention_mse)

    def value(student: Tensor) -> Tensor:
        if not attends:
            return loss(student, TEACHER_STATES, MASK)
        return loss(tokens.scores(student, student, 2), tokens.scores(TEACHER_STATES, TEACHER_STATES, 2), MASK)

    torch.testing.assert_close(value(wild), value(states))
    (gradient,) = torch.autograd.grad(value(states), states)
    assert torch.isfinite(gradient).all()
    assert gradient[~MASK.bool()].abs().max() == 0


MATCHINGS: dict[str, dict[str, Any]] = {
    "layer_matching": {"on": "hidden", "mapping": "uniform", "embeddings": True},
    "patient_kd": {},
    "distilbert": {},
    "tinybert": {"intermediate_epochs": 0, "projection": "none", "weights": {"hidden": 1, "attention": 1}},
    "minilm": {},
    "minilm_v2": {"relation_heads": 4},
    "mobilebert": {},
}
ONE_WIDTH = {"use": "frozen", "model": {**TEACHER, "width": 8}}
ALONE: dict[str, Any] = {**DISTILLED, "teacher": ONE_WIDTH, "methods": {"hard_label": {"weights": {"hard_label": 0}}}}


def total(run: Run, batch: Batch) -> Tensor:
    loss, _ = run.objective(batch)
    return loss


@pytest.mark.parametrize("method", MATCHINGS)
def test_more_padding_changes_no_loss(method: str) -> None:
    with tiny_run(tiny_recipe(method, MATCHINGS[method], recipe=ALONE)) as run, torch.no_grad():
        (batch,) = run.task.batches("train", [torch.tensor([0, 30, 50])], epoch=0, train=True)
        longer = replace(batch, inputs=padded(batch.inputs, 3, pad=0), answers={})
        assert total(run, batch) > 0
        torch.testing.assert_close(total(run, longer), total(run, batch), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", [*MATCHINGS, "kd", "soft_mse", "logit_mse"])
def test_a_student_that_is_its_teacher_has_no_loss_and_no_gradient(method: str) -> None:
    same: dict[str, Any] = {**ALONE, "student": {**STUDENT, "dropout": 0.0}, "teacher": {"use": "frozen", "model": STUDENT}}
    with tiny_run(tiny_recipe(method, MATCHINGS.get(method), recipe=same)) as run:
        run.model("teacher").load_state_dict(run.student.state_dict())
        loss = total(run, first_window(run)[0])
        assert loss.abs() < 1e-6
        parameters = [p for p in run.student.parameters() if p.requires_grad]
        for gradient in torch.autograd.grad(loss, parameters, allow_unused=True):
            assert gradient is None or gradient.abs().max() < 1e-6


@pytest.mark.parametrize("method", MATCHINGS)
def test_micro_batches_of_texts_of_all_lengths_change_no_gradient(method: str) -> None:
    with tiny_run(tiny_recipe(method, MATCHINGS[method], recipe=ALONE)) as run:
        (batch,) = run.task.batches("train", [torch.tensor([0, 56, 3, 40, 20])], epoch=0, train=True)
        whole, pieces = (gradients(run, list(run.task.split(batch, parts))) for parts in (1, 3))
    for name, expected in whole.items():
        torch.testing.assert_close(pieces[name], expected, rtol=1e-4, atol=1e-7)


def gradients(run: Run, micros: list[Batch]) -> dict[str, Tensor]:
    for parameter in run.trainable().values():
        parameter.grad = None
    counts = run.counts(micros)
    for micro in micros:
        run.objective(micro, weights=run.weights(micro, counts))[0].backward()
    return {name: p.grad.clone() for name, p in run.trainable().items() if p.grad is not None}
