"""What the engine promises to tasks, teachers and methods: denominators, forms, heads, hooks, memory of micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo import Batch, Method, Output, Pair, Rows, RunContext, Step, Transform, registry, term
from kdzoo.engine.assemble import assemble
from kdzoo.engine.schedule_binding import bind
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.errors import CapabilityError, PluginError, RecipeError
from kdzoo.functional.divergence import softened_kl
from kdzoo.models.tiny import TinyCNN
from kdzoo.protocol.forms import Absent, Linear, Sparse
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.teachers.frozen import Frozen
from kdzoo.testing import first_window, tiny_recipe, tiny_run
from kdzoo.testing.tiny import registered

from .test_registered_methods import CONTRACTS, OF_OTHER_TASKS

DATA = {"data": "digits", "train_size": 44, "validation": 1000, "crop": 1}


class FewLabels(ImageClassification):
    """Every third sample has a label; the answer has a head of rows with five coarse classes."""

    def counts(self, batch: Batch) -> Mapping[str, float]:
        assert batch.index is not None
        labels = int((batch.index % 3 == 0).sum())
        return {"rows": batch.size, "labels": labels, "coarse.rows": batch.size, "coarse.labels": labels}

    def forward(self, model: Any, batch: Batch, view: str) -> Output:
        output = super().forward(model, batch, view)
        rows = output.rows
        assert batch.index is not None
        assert rows.target is not None
        labeled = (batch.index % 3 == 0).to(rows.logits.dtype)
        coarse = rows.logits.unflatten(1, (5, 2)).sum(2)
        heads = {"coarse": Rows(coarse, rows.target // 2, label_weight=labeled)}
        return Output(replace(rows, label_weight=labeled), heads=heads)


class OnTokens(Method):
    @term(over="tokens")
    def loss(self, step: Step) -> Tensor:
        return step.student.rows.logits.mean()


class TakesAName(Method):
    def __init__(self) -> None:
        super().__init__()
        self.weights = 3  # type: ignore[assignment]


class FirstOnly(Method):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, bool]] = []

    def first_batch(self, batch: Batch, run: RunContext) -> None:
        self.seen.append((batch.number, torch.is_grad_enabled()))

    @term()
    def loss(self, step: Step) -> Tensor:
        return step.student.rows.logits.square().mean()


class Correcting(Frozen):
    """Says what the student said, plus one."""

    frozen = False

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        assert student is not None
        assert not student.rows.logits.requires_grad
        return Output(replace(student.rows, scores=student.rows.logits + 1))


class HalfToTheTop(Transform):
    """Half of each row's probability goes to its largest class, at the temperature of whatever method it serves."""

    def setup(self, run: RunContext, method: Method) -> None:
        self.prepared = (run.classes, method.label)

    def forward(self, pair: Pair, step: Step) -> Pair:
        assert pair.teacher is not None
        q = (pair.teacher.logits / pair.temperature).softmax(-1)
        top = nn.functional.one_hot(q.argmax(-1), q.shape[-1]).to(q.dtype)
        return replace(pair, teacher=replace(pair.teacher, scores=pair.temperature * (q / 2 + top / 2).log()))


class TwoOutputs(nn.Module):
    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.split = Pairs(channels)
        self.out = nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        first, named = self.split(x)
        logits: Tensor = self.out(first + named["second"])
        return logits


class Pairs(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pooled = self.conv(x).mean((2, 3))
        return pooled, {"second": 2 * pooled}


def two_outputs(*, classes: int, channels: int) -> nn.Module:
    return TwoOutputs(classes, channels)


def thirteen(*, channels: int) -> nn.Module:
    return TinyCNN(classes=13, channels=channels, widths=(6, 12))


@pytest.fixture(autouse=True)
def _plugins() -> None:
    registry.register("tasks", "protocol_few_labels", FewLabels)
    for name, method in {"on_tokens": OnTokens, "takes_a_name": TakesAName, "first_only": FirstOnly}.items():
        registry.register("methods", f"protocol_{name}", method)
    registry.register("teachers", "protocol_correcting", Correcting)
    registry.register("transforms", "protocol_half_to_the_top", HalfToTheTop)
    registry.register("models", "protocol_two_outputs", two_outputs)
    registry.register("models", "protocol_thirteen", thirteen)


def few_labels(method: str, **sections: Any) -> Any:
    return tiny_recipe(method, recipe={"task": {"use": "protocol_few_labels", **DATA}, **sections})


def gradients(run: Any, micros: list[Batch]) -> dict[str, Tensor]:
    counts, parameters = run.counts(micros), run.trainable()
    for parameter in parameters.values():
        parameter.grad = None
    for micro in micros:
        total, _ = run.objective(micro, weights=run.weights(micro, counts))
        if total.requires_grad:
            total.backward()
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}


def test_terms_over_labels_and_over_rows_have_denominators_of_their_own() -> None:
    with tiny_run(few_labels("kd")) as run, run.mode(training=False):
        batch = first_window(run)[0]
        whole, parts = gradients(run, [batch]), gradients(run, list(run.task.split(batch, 4)))
    assert whole.keys() == parts.keys()
    for name, grad in whole.items():
        torch.testing.assert_close(parts[name], grad, rtol=2e-4, atol=2e-6)


def test_a_term_that_has_nothing_to_average_is_not_evaluated() -> None:
    with tiny_run(few_labels("kd")) as run:
        batch = first_window(run)[0]
        micros = [run.task.split(batch, 12)[n] for n in range(12)]
        unlabeled = next(micro for micro in micros if int(micro.index[0]) % 3)
        weights = run.weights(unlabeled)
        total, _ = run.objective(unlabeled)
    assert weights == {"hard_label": {}, "kd": {"kd": run.weights_now["kd"]["kd"]}}
    assert torch.isfinite(total)


def test_a_term_over_what_the_task_does_not_count_is_refused_before_training() -> None:
    with pytest.raises(PluginError, match=r"has a term over 'tokens', which the task does not count"):
        assemble(tiny_recipe("protocol_on_tokens").settings)


def test_kd_on_another_head_equals_the_loss_written_by_hand() -> None:
    recipe = few_labels("kd", methods={})
    recipe.settings["methods"]["kd"]["reads"] = "coarse"
    with tiny_run(recipe) as run:
        step = run.step(first_window(run)[0])
        method = run.methods["kd"]
        found = method(run.view(step, method), ["kd"])["kd"]
        student, teacher = step.student.heads["coarse"], step.teachers["teacher"].heads["coarse"]
        assert isinstance(student, Rows)
        assert isinstance(teacher, Rows)
        expected = softened_kl(student.logits, teacher.logits, temperature=method.temperature)
    torch.testing.assert_close(found, expected)


def test_a_head_that_is_not_there_is_named() -> None:
    recipe = few_labels("kd")
    recipe.settings["methods"]["kd"]["reads"] = "coarce"
    with tiny_run(recipe) as run, pytest.raises(CapabilityError, match=r"reads is 'coarce'.*did you mean 'coarse'"):
        run.objective(first_window(run)[0])


def test_an_attribute_of_the_engine_cannot_be_taken() -> None:
    with pytest.raises(PluginError, match="sets its attribute 'weights', which every method has for the engine's use"):
        assemble(tiny_recipe("protocol_takes_a_name").settings)


def test_the_first_batch_hook_runs_once_without_grad() -> None:
    with tiny_run(tiny_recipe("protocol_first_only")) as run:
        batch = first_window(run)[0]
        for number in range(3):
            update_teacher(run, [replace(batch, number=number)])
        method = run.methods["protocol_first_only"]
    assert method.seen == [(0, False)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_a_transform_of_probabilities_acts_at_the_temperature_of_its_method(temperature: float) -> None:
    settings = {"temperature": temperature, "logits": ["protocol_half_to_the_top"]}
    with tiny_run(tiny_recipe("kd", settings)) as run:
        step, method = run.step(first_window(run)[0]), run.methods["kd"]
        found = method(run.view(step, method), ["kd"])["kd"]
    q = (step.teachers["teacher"].rows.logits / temperature).softmax(-1)
    aim = q / 2 + nn.functional.one_hot(q.argmax(-1), 10) / 2
    log_p = (step.student.rows.logits / temperature).log_softmax(-1)
    torch.testing.assert_close(found, temperature**2 * (aim * (aim.log() - log_p)).sum(-1).mean())


def test_a_transform_follows_the_schedule_of_its_methods_temperature() -> None:
    schedules = {"methods.kd.temperature": {"use": "constant", "value": 2.0}}
    transformed = {"logits": ["protocol_half_to_the_top"]}
    totals = []
    for settings, sections in ({"temperature": 2.0}, {}), ({"temperature": 4.0}, {"schedules": schedules}):
        with tiny_run(tiny_recipe("kd", {**settings, **transformed}, recipe=sections)) as run:
            for binding in bind(run, run.schedules):
                binding.apply(run.progress)
            totals.append(run.objective(first_window(run)[0])[0].item())
    assert totals[0] == totals[1]


def test_transforms_are_set_up_with_the_run_and_their_method() -> None:
    transformed = {"logits": ["protocol_half_to_the_top"], "targets": ["protocol_half_to_the_top"]}
    run = assemble(tiny_recipe("kd", transformed).settings)
    owner = run.methods["kd"]
    for transform in (*owner.logits, *owner.targets):
        assert isinstance(transform, HalfToTheTop)
        assert transform.prepared == (10, "kd")


def test_a_transform_that_cannot_be_set_up_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Transform, run: RunContext, method: Method) -> None:
        raise KeyError("x")

    monkeypatch.setattr(HalfToTheTop, "setup", fail)
    with pytest.raises(PluginError, match=r"methods\.kd\.logits\[0\]: setup failed with KeyError"):
        assemble(tiny_recipe("kd", {"logits": ["protocol_half_to_the_top"]}).settings)


def test_a_teacher_may_correct_the_students_answer_without_a_second_forward() -> None:
    model = {"use": "tiny_cnn", "widths": [6, 12]}
    with tiny_run(tiny_recipe("kd", recipe={"teacher": {"use": "protocol_correcting", "model": model}})) as run:
        step = run.step(first_window(run)[0])
    torch.testing.assert_close(step.teachers["teacher"].rows.logits, step.student.rows.logits.detach() + 1)


def test_a_tap_reaches_into_tuples_and_mappings() -> None:
    taps = {"student_taps": ["split[0]"], "teacher_taps": ["split[1][second]"]}
    net = {"use": "protocol_two_outputs"}
    recipe = tiny_recipe("rkd", recipe={"student": net, "teacher": {"use": "frozen", "model": net}})
    recipe.settings["methods"]["rkd"] |= {"student_tap": taps["student_taps"][0], "teacher_tap": taps["teacher_taps"][0]}
    with tiny_run(recipe) as run:
        step = run.step(first_window(run)[0])
        seen = run.view(step, run.methods["rkd"])
    assert seen.student.features["split[0]"].shape == seen.teacher.features["split[1][second]"].shape == (12, 8)


def test_an_entry_that_a_module_does_not_give_is_named() -> None:
    recipe = tiny_recipe("rkd", recipe={"student": {"use": "protocol_two_outputs"}})
    recipe.settings["methods"]["rkd"] |= {"student_tap": "split[2]"}
    with pytest.raises(CapabilityError, match=r"there is no entry 2 in what the module gives; it is a tuple of length 2"):
        assemble(recipe.settings)


def test_micro_batches_forget_what_teachers_said_once_they_are_trained_on() -> None:
    with tiny_run(tiny_recipe("kd", recipe={"train": {"epochs": 1, "batch_size": 12, "accumulate": 3}})) as run:
        batch = first_window(run)[0]
        assert [micro.size for micro in batch.micros] == [4, 4, 4]
        run.answer("teacher", batch.micros[1])
        assert "teacher" in batch.micros[1].answers
        assert not batch.micros[0].answers
        kept = train_step(run, batch)
    assert not any(micro.answers for micro in batch.micros)
    assert all(not micro.views for micro in kept), "outputs are kept although no method reads them after the step"
    assert sum(micro.shares["kd.kd"] for micro in kept) == pytest.approx(1.0)


def test_deferred_and_sparse_logits_give_the_losses_of_dense_ones() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(6, 4, generator=draw, requires_grad=True), torch.randn(9, 4, generator=draw)
    dense, deferred = Rows(hidden @ weight.T), Rows(Linear(hidden, weight))
    torch.testing.assert_close(deferred.logits, dense.logits)
    assert deferred.width == 9
    (grad,) = torch.autograd.grad(softened_kl(deferred.logits, dense.logits.detach() * 2, temperature=2.0), hidden)
    (expected,) = torch.autograd.grad(softened_kl(dense.logits, dense.logits.detach() * 2, temperature=2.0), hidden)
    torch.testing.assert_close(grad, expected)
    values, ids = dense.logits.topk(9)
    torch.testing.assert_close(Rows(Sparse(values, ids, 9)).logits, dense.logits)


def test_logits_that_are_absent_are_a_sentence_and_not_a_silent_zero() -> None:
    with pytest.raises(CapabilityError, match=r"teachers\.table gives no logits, so a method that compares"):
        _ = Rows(Absent("teachers.table", 4, torch.device("cpu"))).logits


def _with_frozen_teacher(*, aligned: bool) -> list[str]:
    """Methods that learn from a teacher which stands still, by whether they compare it class by class."""
    found = []
    for name in registered("methods"):
        if name in OF_OTHER_TASKS:
            continue
        needs = registry.get("methods", name)(**CONTRACTS.get(name, {}).get("settings", {})).needs()
        if needs.teacher and not needs.teacher_grad and needs.aligned is aligned:
            found.append(name)
    return found


def _other_classes(name: str) -> Any:
    own = CONTRACTS.get(name, {})
    sections = {key: value for key, value in own.get("recipe", {}).items() if key in ("student", "methods")}
    teacher = {"use": "frozen", "model": "protocol_thirteen"}
    return tiny_recipe(name, own.get("settings"), recipe={**sections, "teacher": teacher})


@pytest.mark.parametrize("name", _with_frozen_teacher(aligned=False))
def test_a_method_that_compares_features_may_have_a_teacher_with_other_classes(name: str) -> None:
    with tiny_run(_other_classes(name)) as run:
        train_step(run, first_window(run)[0])


@pytest.mark.parametrize("name", _with_frozen_teacher(aligned=True))
def test_a_method_that_compares_classes_refuses_a_teacher_with_others(name: str) -> None:
    with pytest.raises((CapabilityError, RecipeError), match="the teacher tells 13 classes apart, the student 10"):
        assemble(_other_classes(name).settings)
