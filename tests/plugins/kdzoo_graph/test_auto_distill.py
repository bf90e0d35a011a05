"""The auto-distiller: what it learns from, what it leaves alone, its negatives, and its teacher."""

import math
from typing import Any

import pytest
import torch
from kdzoo_graph.entity_identification import identify, identify_in_batch, identify_sampled
from kdzoo_graph.sampling import expected_count, log_uniform, uniform
from kdzoo_graph.self_table import table_of
from torch import nn
from torch.nn import functional as F

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.testing import first_window, tiny_recipe, tiny_run

STUDENT = {"use": "dan", "width": 4, "decoder": "distmult", "decoder_dropout": 0.0, "dropout": 0.0}
RECIPE = {"task": {"use": "link_prediction", "data": "blocks"}, "student": STUDENT, "train": {"epochs": 1, "batch_size": 12}}
OWN = {"use": "self_table"}


def given(rows: int = 6, table: int = 9, width: int = 4) -> tuple[Any, Any, torch.Tensor, Any]:
    draw = torch.Generator().manual_seed(0)
    student, rows_, bias = (
        torch.randn(*s, dtype=torch.float64, generator=draw) for s in ((rows, width), (table, width), (table,))
    )
    return student, rows_, torch.tensor([0, 4, 4, 8, 1, 2]), bias


def recipe(method: str = "auto_distill", settings: Any = None, **sections: Any) -> Any:
    return tiny_recipe(method, settings or {}, recipe={**RECIPE, "teacher": OWN, **sections})


# -- losses --------------------------------------------------------------------------------------------------------------


def test_against_the_whole_table_it_is_cross_entropy() -> None:
    student, table, label, bias = given()
    expected = F.cross_entropy(student @ table.T + bias, label, reduction="none")
    torch.testing.assert_close(identify(student, table, label, bias), expected)


def test_sampling_the_whole_table_uniformly_changes_the_loss_by_nothing() -> None:
    student, table, label, bias = given()
    every, expected = torch.arange(9), torch.ones(9, dtype=torch.float64)
    found = identify_sampled(student, table, label, bias, sampled=every, expected=expected)
    torch.testing.assert_close(found, identify(student, table, label, bias))


def test_rows_of_the_same_item_are_no_negatives_in_a_batch() -> None:
    student, table, label, _ = given()
    found = identify_in_batch(student, table[label], label, temperature=0.5)
    unlike = torch.tensor([0, 1, 3, 4, 5])  # without the second row of item 4
    rows = F.normalize(student[1], dim=0) @ F.normalize(table[label[unlike]], dim=1).T / 0.5
    torch.testing.assert_close(found[1], F.cross_entropy(rows[None], torch.tensor([1])))


def test_samplers_draw_different_rows_as_often_as_they_say() -> None:
    generator, rows, count = torch.Generator().manual_seed(0), 12, 5
    for sampler in (uniform, log_uniform):
        often, said = torch.zeros(rows, dtype=torch.float64), torch.zeros(rows, dtype=torch.float64)
        for _ in range(2000):
            drawn, expected = sampler(rows, count, generator)
            assert len(drawn.unique()) == count
            often[drawn] += 1
            said += expected
        torch.testing.assert_close(often / 2000, said / 2000, rtol=0.15, atol=0.02)


def test_log_uniform_probabilities_fall_with_the_number_and_sum_to_one() -> None:
    once = expected_count(50, 1)
    torch.testing.assert_close(once.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert once[0] == pytest.approx(math.log(2) / math.log(51))
    assert (once.diff() < 0).all()


# -- the method ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"count": 4}, {"negatives": "full"}, {"negatives": "in_batch"}, {"count": 4, "head": "unit"}]
)
def test_the_table_gets_no_gradient_as_a_teacher(settings: dict[str, int | str] | dict[str, int] | dict[str, str]) -> None:
    """Whatever reaches the table comes through the encoder: with the encoder's input cut off nothing is left."""
    with tiny_run(recipe(settings=settings)) as run:
        method, table = run.methods["auto_distill"], run.student.table.weight
        step = run.view(run.step(first_window(run)[0], teacher_grad=True), method)
        assert not step.teacher.heads["table"].requires_grad
        cut = {name: value.detach() for name, value in step.student.features.items()}
        loss = method.auto_distill(type(step)(**{**vars(step), "student": type(step.student)(step.student.rows, cut)}))
        assert torch.autograd.grad(loss, table, allow_unused=True, retain_graph=True) == (None,)
        assert torch.autograd.grad(loss, method.project.dense.weight)[0].any()


@pytest.mark.parametrize("method", ["auto_distill_infonce", "auto_distill_l2"])
def test_in_the_ablations_the_table_does_get_a_gradient(method: str) -> None:
    settings = {"count": 4} if method.endswith("infonce") else {}
    with tiny_run(recipe(method, settings, teacher=None)) as run:
        step = run.view(run.step(first_window(run)[0]), run.methods[method])
        features = {name: value.detach() for name, value in step.student.features.items()}
        features["table"].requires_grad_()
        loss = getattr(run.methods[method], next(iter(run.methods[method].kdzoo_terms)))(
            type(step)(**{**vars(step), "student": type(step.student)(step.student.rows, features)})
        )
        assert torch.autograd.grad(loss, features["table"])[0].any()


def test_all_micro_batches_of_a_step_share_their_negatives() -> None:
    with tiny_run(recipe(settings={"count": 4})) as run:
        method = run.methods["auto_distill"]
        steps = [run.view(run.step(micro), method) for micro in run.task.split(first_window(run)[0], 2)]
        numbered = [type(s)(**{**vars(s), "batch": type(s.batch)(**{**vars(s.batch), "part": n})}) for n, s in enumerate(steps)]
        first, second = (method._sampled(step, 12)[0] for step in numbered)
        assert torch.equal(first, second)


def test_more_negatives_than_rows_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"methods\.auto_distill\.count is 64, but the table has only 12 rows .*negatives=full"
    ):
        tiny_run(recipe()).__enter__()


def test_another_kind_of_teacher_is_refused() -> None:
    frozen = {"use": "frozen", "model": STUDENT}
    with pytest.raises(RecipeError, match="teacher 'teacher' is 'frozen', which has none to show"):
        tiny_run(recipe(settings={"count": 4}, teacher=frozen)).__enter__()


# -- the teacher ---------------------------------------------------------------------------------------------------------


def test_the_live_table_is_what_the_student_has_now() -> None:
    with tiny_run(recipe(settings={"count": 4})) as run:
        batch = first_window(run)[0]
        with torch.no_grad():
            run.student.table.weight.add_(1)
        assert torch.equal(run.answer("teacher", batch).heads["table"], run.student.table.weight)


def test_the_moving_average_follows_by_its_momentum() -> None:
    with tiny_run(recipe(settings={"count": 4}, teacher={**OWN, "momentum": 0.75})) as run:
        batch, before = first_window(run)[0], run.student.table.weight.detach().clone()
        with torch.no_grad():
            run.student.table.weight.add_(1)
        assert torch.equal(run.answer("teacher", batch).heads["table"], before)
        run.teachers["teacher"].after_step(run)
        torch.testing.assert_close(run.answer("teacher", batch).heads["table"], before + 0.25)


class Words(nn.Module):
    """A model of text, as far as its table goes."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings, self.out = nn.Embedding(5, 3), nn.Linear(3, 2)

    def get_input_embeddings(self) -> Any:
        return self.embeddings


def test_the_table_of_any_model_is_found_by_its_embeddings_or_by_name() -> None:
    model = Words()
    assert table_of(model, None, "here") is model.embeddings.weight
    assert table_of(model, "out.weight", "here") is model.out.weight
    with pytest.raises(
        CapabilityError, match=r"here: there is no parameter 'embedings\.weight' .* did you mean 'embeddings\.weight'"
    ):
        table_of(model, "embedings.weight", "here")
    with pytest.raises(CapabilityError, match="here: Linear names no input table in the student"):
        table_of(nn.Linear(2, 2), None, "here")
