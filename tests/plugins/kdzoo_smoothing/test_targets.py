"""The targets that are made of a part of a teacher's answer: their identities, and that they compose with any logit method."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_smoothing.class_similarity import log_similarity
from kdzoo_smoothing.kd_pt import KDpt, keep_label
from kdzoo_smoothing.kd_pt_sim import KDptSim, spread_by_similarity
from kdzoo_smoothing.kd_topk import KDTopk, keep_top, top_mask
from torch import Tensor, nn

from kdzoo.engine.assemble import assemble
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.labels import smooth_off_label
from kdzoo.protocol.outputs import Pair, Rows
from kdzoo.testing import first_window, tiny_recipe, tiny_run

Given = tuple[Tensor, Tensor, Tensor]
Remake = Callable[[Tensor, Tensor], Tensor]
MADE: dict[str, dict[str, Any]] = {"kd_pt": {}, "kd_topk": {"k": 3}, "kd_pt_sim": {}}


def spread(log_q: Tensor, label: Tensor) -> Tensor:
    weight = torch.randn(log_q.shape[-1], 4, generator=torch.Generator().manual_seed(0), dtype=log_q.dtype)
    return spread_by_similarity(log_q, label, log_similarity(weight))


@pytest.mark.parametrize("remake", [keep_label, lambda log_q, label: keep_top(log_q, 2), spread], ids=list(MADE))
def test_every_target_is_a_distribution_for_each_row(remake: Remake, rows: Given) -> None:
    _, teacher, label = rows
    rho = remake((teacher / 4).log_softmax(-1), label).exp()
    torch.testing.assert_close(rho.sum(-1), torch.ones(len(rho), dtype=rho.dtype))


@pytest.mark.parametrize("remake", [keep_label, spread], ids=["kd_pt", "kd_pt_sim"])
def test_the_label_keeps_the_teachers_probability(remake: Remake, rows: Given) -> None:
    _, teacher, label = rows
    log_q = teacher.log_softmax(-1)
    torch.testing.assert_close(remake(log_q, label).gather(1, label[:, None]), log_q.gather(1, label[:, None]))


def test_kd_pt_is_label_smoothing_with_an_alpha_for_each_sample(rows: Given) -> None:
    _, teacher, label = rows
    q = teacher.softmax(-1)
    alpha = 1 - q.gather(1, label[:, None])
    torch.testing.assert_close(keep_label(q.log(), label).exp(), smooth_off_label(label, q, alpha))


def test_kd_pt_does_not_change_when_the_teacher_permutes_its_other_classes(rows: Given) -> None:
    _, teacher, _ = rows
    label = torch.zeros(len(teacher), dtype=torch.int64)
    permuted = teacher[:, [0, 3, 5, 1, 2, 4]]
    torch.testing.assert_close(keep_label(teacher.log_softmax(-1), label), keep_label(permuted.log_softmax(-1), label))


def test_a_confident_teacher_loses_no_digit(rows: Given) -> None:
    """1 - q_y is 2e-18 here, which float64 rounds to 0 and float32 long before."""
    log_q = torch.tensor([[40.0, -1.0, 0.0]]).log_softmax(-1)
    others = keep_label(log_q, torch.tensor([0]))[0, 1:]
    torch.testing.assert_close(others, torch.full((2,), torch.tensor([-1.0, 0.0]).logsumexp(0).item() - 40 - 0.6931472))


def test_all_classes_and_all_but_one_leave_the_teachers_answer(rows: Given) -> None:
    log_q = rows[1].log_softmax(-1)
    for k in (5, 6):
        torch.testing.assert_close(keep_top(log_q, k), log_q)


def test_one_class_is_kd_pt_of_the_teachers_first_choice(rows: Given) -> None:
    log_q = rows[1].log_softmax(-1)
    torch.testing.assert_close(keep_top(log_q, 1), keep_label(log_q, log_q.argmax(-1)))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_what_is_kept_keeps_its_order_and_is_not_below_the_rest(k: int, rows: Given) -> None:
    log_q = rows[1].log_softmax(-1)
    made, kept = keep_top(log_q, k), top_mask(log_q, k)
    assert kept.sum(-1).tolist() == [k] * len(log_q)
    assert torch.equal(made[kept], log_q[kept])
    assert (made.masked_fill(~kept, torch.inf).amin(-1) >= made.masked_fill(kept, -torch.inf).amax(-1)).all()


def test_of_equal_probabilities_those_of_lower_classes_are_kept() -> None:
    assert top_mask(torch.zeros(2, 40), 3).nonzero()[:, 1].tolist() == [0, 1, 2, 0, 1, 2]


def test_even_similarity_makes_kd_pt_sim_kd_pt(rows: Given) -> None:
    _, teacher, label = rows
    log_q, even = teacher.log_softmax(-1), torch.zeros(6, 6, dtype=torch.float64).log_softmax(-1)
    torch.testing.assert_close(spread_by_similarity(log_q, label, even), keep_label(log_q, label))


def test_the_rest_goes_where_classes_are_alike(rows: Given) -> None:
    _, teacher, label = rows
    similar = torch.rand(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log()
    rho = spread_by_similarity(teacher.log_softmax(-1), label, similar).exp()
    expected = similar.exp()[label].scatter(1, label[:, None], 0)
    others = rho.scatter(1, label[:, None], 0)
    torch.testing.assert_close(others / others.sum(-1, keepdim=True), expected / expected.sum(-1, keepdim=True))


@pytest.mark.parametrize("transform", MADE)
@pytest.mark.parametrize("method", ["kd", "kd_soft", "dkd", "nkd", "dist", "ttm", "wsld", "rld", "mlkd", "hard_distillation"])
def test_a_target_composes_with_any_logit_method(method: str, transform: str) -> None:
    settings = {"logits": [{"use": transform, **MADE[transform]}]}
    with tiny_run(tiny_recipe(method, settings)) as run:
        total, _ = run.objective(first_window(run)[0])
        total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in run.trainable().values())


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_in_a_run_kd_sees_the_target_at_its_own_temperature(temperature: float) -> None:
    with tiny_run(tiny_recipe("kd", {"temperature": temperature, "logits": ["kd_pt"]})) as run:
        step, method = run.step(first_window(run)[0]), run.methods["kd"]
        found = method(run.view(step, method), ["kd"])["kd"]
    rows, teacher = step.student.rows, step.teachers["teacher"].rows.logits
    rho = smooth_off_label(rows.target, teacher, 1 - (teacher / temperature).softmax(-1).gather(1, rows.target[:, None]))
    torch.testing.assert_close(found, softened_kl(rows.logits, temperature * rho.log(), temperature=temperature))


def test_kd_pt_sim_spreads_by_the_classifier_of_its_own_teacher() -> None:
    with tiny_run(tiny_recipe("kd", {"logits": ["kd_pt_sim"]})) as run:
        (transform,) = run.methods["kd"].logits
        weight = run.model("teacher").fc.weight
    torch.testing.assert_close(transform.log_similar, log_similarity(weight))


def test_targets_follow_labels_that_were_made_soft() -> None:
    logits, soft = torch.randn(2, 4), torch.tensor([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]])
    found = KDpt()(Pair(Rows(logits, soft), Rows(logits)), None).teacher.logits
    torch.testing.assert_close(found, keep_label(logits.log_softmax(-1), torch.tensor([2, 0])))


def test_rows_without_a_label_keep_the_teachers_answer() -> None:
    logits, label = torch.randn(3, 4), torch.tensor([1, -100, 2])
    found = KDpt()(Pair(Rows(logits, label), Rows(logits)), None).teacher.logits
    torch.testing.assert_close(found[1], logits[1].log_softmax(-1))
    torch.testing.assert_close(found[[0, 2]], keep_label(logits.log_softmax(-1), label.clamp(min=0))[[0, 2]])


def test_without_a_teacher_or_without_labels_nothing_changes() -> None:
    alone, unlabeled = (
        Pair(Rows(torch.zeros(2, 3), torch.tensor([0, 1]))),
        Pair(Rows(torch.zeros(2, 3)), Rows(torch.ones(2, 3))),
    )
    assert KDpt()(alone, None) is alone
    assert KDpt()(unlabeled, None) is unlabeled
    assert KDTopk()(alone, None) is alone


@pytest.mark.parametrize(("classes", "expected"), [(2, 1), (4, 1), (10, 3), (100, 25)])
def test_the_default_share_is_a_quarter_of_the_classes(classes: int, expected: int) -> None:
    assert KDTopk().kept(classes) == expected


def test_more_classes_than_there_are_is_a_sentence() -> None:
    recipe = tiny_recipe("kd", {"logits": [{"use": "kd_topk", "k": 12}]})
    with pytest.raises(
        RecipeError, match=r"methods\.kd\.logits: k of kd_topk is 12, but the task has 10 classes; choose 1 to 10"
    ):
        assemble(recipe.settings)


@pytest.mark.parametrize(
    ("transform", "settings", "text"),
    [
        (KDTopk, {"k": 0}, "k must be at least 1, got 0"),
        (KDTopk, {"share": 1.5}, "share must be between 0 and 1, got 1.5"),
        (KDptSim, {"temperature": 0.0}, "temperature must be > 0, got 0"),
        (KDptSim, {"alpha": -1.0}, "alpha must be > 0, got -1"),
    ],
)
def test_values_out_of_range_are_refused_in_words(transform: type[nn.Module], settings: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        transform(**settings)


@pytest.mark.parametrize(
    ("sections", "text"),
    [
        ({"teacher": {"use": "virtual"}}, "but teacher 'teacher' is none; use a frozen teacher"),
        (
            {"teacher": {"use": "peers"}, "learners": {"other": {"use": "tiny_cnn", "widths": [4, 8]}}},
            "teacher 'teacher' is none",
        ),
    ],
)
def test_kd_pt_sim_without_a_classifier_to_read_is_a_sentence(sections: dict[str, object], text: str) -> None:
    with pytest.raises(CapabilityError, match=text):
        assemble(tiny_recipe("kd", {"logits": ["kd_pt_sim"]}, recipe=sections).settings)
