"""Contracts of models, teachers, data sources and tasks: what the engine relies on, as tests that plugin authors inherit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.run import Run
from kdzoo.models.tap_names import expand, resolve
from kdzoo.protocol.forms import Absent
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import MAIN, Batch, Output
from kdzoo.random import Streams
from kdzoo.recipe.build import build
from kdzoo.recipe.load import Recipe
from kdzoo.testing.laws.helpers import assert_equal, assert_resumes, leaves, same_tree, state_of
from kdzoo.testing.tiny import TEACHER, first_window, tiny_recipe, tiny_run

CPU = torch.device("cpu")


class ModelContract:
    """Inherit and set `model`.

    Attributes:
        model: the registered name; `settings` its settings in the tests.
        context: what the task tells it (classes, channels, size).
    """

    model: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    context: ClassVar[Mapping[str, int]] = {"classes": 5, "channels": 3, "size": 32}

    def built(self) -> nn.Module:
        """The model, initialized from a fixed seed."""
        with Streams(0).applied(CPU, "init"):
            made: nn.Module = build("models", {"use": self.model, **self.settings}, "model")(**self.context)
        return made

    def inputs(self) -> Tensor:
        shape = (3, self.context["channels"], self.context["size"], self.context["size"])
        return torch.rand(shape, generator=torch.Generator().manual_seed(0))

    def test_it_answers_with_one_row_of_logits_an_input(self) -> None:
        logits = self.built().eval()(self.inputs())
        assert logits.shape == (3, self.context["classes"])
        assert torch.isfinite(logits).all()

    def test_one_seed_gives_one_initialization(self) -> None:
        assert_equal(state_of({"": self.built()}), state_of({"": self.built()}), "two models at one seed differ")

    def test_in_eval_mode_an_answer_depends_on_its_own_input_alone(self) -> None:
        model, inputs = self.built().eval(), self.inputs()
        with torch.no_grad():
            whole, alone = model(inputs), torch.cat([model(each[None]) for each in inputs])
        torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-5)

    def test_every_parameter_gets_a_gradient(self) -> None:
        model = self.built().eval()
        model(self.inputs()).logsumexp(1).sum().backward()
        unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not unused, f"no answer depends on {', '.join(unused[:3])}"

    def test_its_state_can_be_saved_and_loaded(self) -> None:
        model, other = self.built().eval(), self.built().eval()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
            other.load_state_dict(model.state_dict())
            assert torch.equal(other(self.inputs()), model(self.inputs()))

    def test_the_taps_that_it_names_are_modules_of_it(self) -> None:
        model = self.built()
        if hasattr(model, "kdzoo_taps"):
            for spec in expand(model, ("stages", "pooled")):
                resolve(model, spec)


class TeacherContract:
    """Inherit and set `teacher`.

    Attributes:
        teacher: the registered name; `settings` its settings in the tests.
        method: a method that listens to it, with its settings; `recipe` further sections of the tiny recipe.
    """

    teacher: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {"model": TEACHER}
    method: ClassVar[str] = "kd"
    method_settings: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Mapping[str, Any]] = {}

    def make(self, out: Path | str = "runs") -> Recipe:
        """The recipe of a run with this teacher."""
        spec = {"use": self.teacher, **self.settings}
        return tiny_recipe(self.method, self.method_settings, recipe={**self.recipe, "teacher": spec}, out=out)

    def assembled(self) -> Run:
        return assemble(self.make().settings)

    def answers(self, run: Run) -> tuple[Output, Output]:
        """What the student and the teacher say of the first batch."""
        (batch, *_) = first_window(run)
        with run.mode(training=False):
            step = run.step(batch)
        return step.student, step.teachers["teacher"]

    def test_it_answers_with_the_rows_of_the_student(self) -> None:
        student, teacher = self.answers(self.assembled())
        assert leaves(teacher), "the teacher answered nothing"
        assert all(torch.isfinite(tensor).all() for tensor in leaves(teacher) if tensor.is_floating_point())
        if not isinstance(teacher.rows.scores, Absent):
            assert teacher.rows.logits.shape == student.rows.logits.shape

    def test_one_seed_gives_one_answer(self) -> None:
        assert same_tree(*(self.answers(self.assembled())[1] for _ in range(2)))

    def test_its_answers_carry_no_graph_unless_asked_for(self) -> None:
        assert not any(tensor.requires_grad for tensor in leaves(self.answers(self.assembled())[1]))

    def test_a_run_that_learns_from_it_resumes_bit_for_bit(self, tmp_path: Path) -> None:
        assert_resumes(self.make, tmp_path, 2)

    def test_only_one_that_trains_has_parameters_that_want_gradients(self) -> None:
        teacher = self.assembled().teachers["teacher"]
        assert all(parameter.requires_grad == teacher.trains for parameter in teacher.parameters())
        assert not (teacher.frozen and teacher.trains), "a teacher that trains is not frozen"


class DataContract:
    """Inherit and set `data`.

    Attributes:
        data: the registered name; `settings` its settings in the tests.
        root: the folder of the data sets; None for a source that needs none.
    """

    data: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    root: ClassVar[Path | None] = None

    def loaded(self) -> Any:
        return build("data", {"use": self.data, **self.settings}, "data").load(self.root)

    def test_it_loads_the_same_every_time(self) -> None:
        first, second = self.loaded(), self.loaded()
        assert leaves(first), "the source returned no tensors"
        assert same_tree(first, second), "the source returned other data the second time"

    def test_its_fingerprint_is_a_stable_text(self) -> None:
        fingerprint = self.loaded().fingerprint
        assert isinstance(fingerprint, str)
        assert fingerprint
        assert self.loaded().fingerprint == fingerprint

    def test_the_classes_that_it_names_beforehand_are_those_that_it_loads(self) -> None:
        source: Any = build("data", {"use": self.data, **self.settings}, "data")
        names = getattr(source, "class_names", None)
        assert names is None or tuple(names) == tuple(source.load(self.root).class_names)

    def test_it_is_registered(self) -> None:
        assert registry.get("data", self.data)


class TaskContract:
    """Inherit and set `task` (a section of a recipe, without its name) and `student`.

    Attributes:
        task: the section `task` of a recipe; `other` one of the same kind with other data.
        student: a model for it; `batch_size` of the batches that the tests look at.
    """

    task: ClassVar[Mapping[str, Any]]
    other: ClassVar[Mapping[str, Any] | None] = None
    student: ClassVar[Mapping[str, Any]]
    batch_size: ClassVar[int] = 12

    def recipe(self, task: Mapping[str, Any] | None = None) -> Any:
        train = {"epochs": 1, "batch_size": self.batch_size}
        return tiny_recipe("hard_label", recipe={"task": dict(task or self.task), "student": self.student, "train": train})

    def opened(self, task: Mapping[str, Any] | None = None) -> Any:
        made = build("tasks", self.recipe(task).settings["task"], "task")
        made.open(needs=Needs(), streams=Streams(0), device=CPU, root=None)
        return made

    def batch(self, task: Any, index: list[int], *, epoch: int = 0) -> Batch:
        made: Batch = next(iter(task.batches("train", [torch.tensor(index)], epoch=epoch, train=True)))
        return made

    def test_a_split_covers_the_batch_without_overlap(self) -> None:
        task = self.opened()
        batch = self.batch(task, list(range(4)))
        parts = task.split(batch, 2)
        assert len(parts) == 2
        assert sum(part.size for part in parts) == batch.size
        assert batch.index is None or torch.equal(torch.cat([part.index for part in parts]), batch.index)

    def test_a_split_batch_gives_the_gradient_of_the_whole(self) -> None:
        with tiny_run(self.recipe()) as run, run.mode(training=False):
            batch = first_window(run)[0]
            whole, halves = _gradient(run, [batch]), _gradient(run, list(run.task.split(batch, 2)))
        for name, gradient in whole.items():
            torch.testing.assert_close(halves[name], gradient, rtol=2e-4, atol=2e-6)

    def test_its_labels_are_those_of_its_batches_and_its_models_give_as_many_logits_as_are_asked_for(self) -> None:
        with tiny_run(self.recipe()) as run, torch.no_grad():
            task = run.task
            if "labels" not in task.capabilities:
                return
            for split in ("train", "validation", "test"):
                order = torch.arange(task.size(split)).split(self.batch_size)
                for index, batch in zip(order, task.batches(split, order, epoch=0, train=split == "train"), strict=True):
                    assert torch.equal(task.labels(split)[index.to(batch.target.device)], batch.target)
            asked = [f"answer{number}" for number in range(7)]
            model = build("models", run.settings["student"], "student")
            assert task.forward(task.build_for(model, asked).eval(), task.example(), MAIN).rows.logits.shape[1] == len(asked)

    def test_the_supervised_loss_is_a_finite_scalar_with_a_gradient(self) -> None:
        with tiny_run(self.recipe()) as run:
            output = run.forward("student", first_window(run)[0])
            loss = run.task.supervised(output)
            assert loss.ndim == 0
            assert torch.isfinite(loss)
            assert torch.autograd.grad(loss, output.rows.logits)[0].abs().sum() > 0

    def test_the_meter_reports_the_metric(self) -> None:
        with tiny_run(self.recipe()) as run, torch.no_grad():
            order, meter = torch.arange(run.task.size("validation")), run.task.meter("validation")
            for batch in run.task.batches("validation", order.split(self.batch_size), epoch=0, train=False):
                meter.update(run.forward("student", batch, commit=False), batch)
            assert isinstance(meter.result()[run.task.metric], float)
            score = meter.arrays().get("score")
            assert score is None or abs(score.double().mean().item() - meter.result()[run.task.metric]) < 1e-3

    def test_its_facts_are_json(self) -> None:
        facts = self.opened().facts()
        assert json.loads(json.dumps(facts)) == facts

    def test_its_fingerprint_is_stable_and_tells_data_apart(self) -> None:
        fingerprint = self.opened().facts()["fingerprint"]
        assert self.opened().facts()["fingerprint"] == fingerprint
        if self.other is not None:
            assert self.opened(self.other).facts()["fingerprint"] != fingerprint

    def test_samples_depend_on_seed_epoch_and_sample_alone(self) -> None:
        first, second = self.opened(), self.opened()
        expected = self.batch(first, [0, 1])
        self.batch(second, [1, 0], epoch=3)  # what was drawn before has no effect
        assert same_tree(self.batch(second, [0, 1]).inputs, expected.inputs)

    def test_sizes_add_up(self) -> None:
        task = self.opened()
        assert task.size("train") > 0
        assert task.size("no such split") == 0
        for split in ("train", "validation", "test"):
            order = torch.arange(task.size(split)).split(self.batch_size)
            assert sum(batch.size for batch in task.batches(split, order, epoch=0, train=False)) == task.size(split)

    def test_a_sample_has_the_same_positions_in_every_batch(self) -> None:
        with tiny_run(self.recipe()) as run:
            whole = run.task.positions(self.batch(run.task, [0, 1, 2, 3]), run.student)
            if whole is None:
                return
            alone = [run.task.positions(self.batch(run.task, [number]), run.student) for number in range(4)]
        assert whole.dtype == torch.bool
        assert whole.sum(1).tolist() == [int(own.sum()) for own in alone if own is not None]

    def test_an_example_is_a_batch_that_the_model_takes(self) -> None:
        with tiny_run(self.recipe()) as run, torch.no_grad():
            example = run.task.example()
            assert run.task.forward(run.student.eval(), example, MAIN).rows.logits.ndim == 2


def _gradient(run: Run, micros: list[Batch]) -> dict[str, Tensor]:
    """The gradient of the supervised loss, each micro-batch weighed by its share."""
    parameters, counts = run.trainable(), run.counts(micros)
    for parameter in parameters.values():
        parameter.grad = None
    for micro in micros:
        total, _ = run.objective(micro, weights=run.weights(micro, counts))
        total.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}
