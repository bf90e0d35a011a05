"""Mistakes get one sentence each; modules without forward mode, checkpointing and half precision still train."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from kdzoo_meta.metadistil import MetaDistil
from kdzoo_meta.preconditions import InexactWarning
from meta_cases import ExactImages, SmoothMLP, TinyTransformer, assert_same, meta_gradient, objective, recipe, register
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kdzoo.engine.assemble import assemble
from kdzoo.engine.training_step import update_teacher
from kdzoo.errors import CapabilityError, PluginError, RecipeError
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Output, Step
from kdzoo.testing import tiny_recipe


class Argmax(Method):
    """Learns the teacher's decision."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def decision(self, step: Step) -> Tensor:
        return nn.functional.cross_entropy(step.student.rows.logits, step.teacher.rows.logits.argmax(1))


class Once(torch.autograd.Function):
    """An operator whose gradient has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Custom(Method):
    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        return Once.apply(step.student.rows.logits - step.teacher.rows.logits).exp().mean()


class NoForwardMode(SmoothMLP):
    """Uses that operator inside the student."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(Once.apply(self.first(self.flatten(x))).tanh()))


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, *, classes: int, size: int) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(size, 6, batch_first=True), nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x.squeeze(1))[0][:, -1])


class Checkpointed(TinyTransformer):
    """The same network, but blocks are computed again on the way back."""

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(block, x, use_reentrant=False)


class OneLogit(SmoothMLP):
    def __init__(self, *, classes: int, channels: int = 1, size: int, width: int = 6) -> None:
        super().__init__(classes=1, channels=channels, size=size, width=width)


class Regression(ExactImages):
    """The digit as a number."""

    def supervised(self, output: Output) -> Tensor:
        return nn.functional.mse_loss(output.rows.logits[:, 0], output.rows.target / 10)


class Overlapping(ExactImages):
    """Gives the quiz back to training."""

    def open(self, **given: Any) -> None:  # type: ignore[override]
        super().open(**given)
        if "quiz" in self.places:
            self.places["train"] = torch.cat([self.places["train"], self.places["quiz"][:7]])


class Nothing(nn.Module):
    """A teacher that counts pixels."""

    def __init__(self, *, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None] * torch.arange(self.classes, dtype=x.dtype)


class Adadelta:
    """An optimizer without a closed-form way back."""

    kdzoo_kind = "optimizers"

    def __init__(self, *, lr: float = 1.0) -> None:
        self.lr = lr

    def build(self, parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adadelta(parameters, lr=self.lr)


REGISTERED: dict[str, dict[str, Any]] = {
    "optimizers": {"meta_test_adadelta": Adadelta},
    "methods": {"meta_test_argmax": Argmax, "meta_test_custom": Custom},
    "models": {
        "meta_test_no_forward_mode": NoForwardMode,
        "meta_test_lstm": Recurrent,
        "meta_test_checkpointed": Checkpointed,
        "meta_test_one_logit": OneLogit,
        "meta_test_nothing": Nothing,
    },
    "tasks": {"meta_test_regression": Regression, "meta_test_overlapping": Overlapping},
}


@pytest.fixture(autouse=True)
def broken_plugins() -> None:
    register(REGISTERED)


def trainable(model: str) -> dict[str, Any]:
    return {"use": "trainable", "model": model}


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quiz": 0.0}, r"methods\.metadistil\.quiz must be above 0 and below 1, got 0"),
        ({"quiz": 1.0}, r"quiz must be above 0 and below 1, got 1"),
        ({"window": 0}, r"window must be at least 1, got 0"),
        ({"every": 0}, r"every must be at least 1, got 0"),
        ({"inner_lr": -0.1}, r"inner_lr must be at least 0, got -0.1"),
        ({"inner_clip": 0.0}, r"inner_clip must be > 0, got 0"),
        ({"share_forward": True, "window": 2}, r"share_forward=true is for a single inner step, got window=2; set window=1"),
        ({"look_ahead": False, "backend": "double_backward"}, r"look_ahead=false belongs to the backends jvp and fd_logit"),
        ({"look_ahead": False, "share_forward": True}, r"share_forward shares the inner step's forward"),
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_named(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        assemble(recipe(settings=settings).settings)


def test_a_quiz_larger_than_the_classes_can_give_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"quiz cannot be split off: .* the 10 classes can give 90 if each keeps 1"):
        assemble(recipe(settings={"quiz": 0.99}).settings)


def test_a_quiz_too_small_for_a_mean_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"the quiz split has 1 samples, at least 2 are needed; raise methods"):
        assemble(recipe(settings={"quiz": 0.01}).settings)


def test_a_task_that_trains_on_the_quiz_is_refused() -> None:
    task = {"use": "meta_test_overlapping", "data": "digits", "train_size": 100, "validation": 1000}
    with pytest.raises(PluginError, match=r"'meta_test_overlapping' gives 7 samples to both quiz and train"):
        assemble(recipe(task=task).settings)


def test_a_frozen_teacher_is_refused_and_the_trainable_one_named() -> None:
    frozen = {"use": "frozen", "model": "meta_test_mlp"}
    with pytest.raises(CapabilityError, match=r"moves its teacher, but teacher 'teacher' stands still; use a trainable one"):
        assemble(recipe(teacher=frozen).settings)


def test_a_teacher_without_parameters_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"moves teacher 'teacher', which has no trainable parameter"):
        assemble(recipe(teacher=trainable("meta_test_nothing")).settings)


def test_globs_that_match_no_parameter_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"moves \['fcc\.\*'\] matches no parameter .* did you mean 'fc\.\w+'"):
        assemble(recipe(settings={"moves": ["fcc.*"]}).settings)


def test_the_quiz_must_be_one_size_for_all_methods() -> None:
    with pytest.raises(RecipeError, match="want the split 'quiz' in different sizes"):
        assemble(recipe(methods={"kd": {}, "quiz_holdout": {"quiz": 0.2}}).settings)


# -- losses that the teacher cannot be reached through ---------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jvp", "double_backward", "fd_logit"])
@pytest.mark.parametrize("methods", [{}, {"meta_test_argmax": {}}, {"kd": {"weights": {"kd": 0.0}}}], ids=str)
def test_a_loss_that_does_not_reach_the_teacher_is_an_error(methods: dict[str, Any], backend: str) -> None:
    with (
        objective(settings={"backend": backend}, methods=methods) as (run, batches),
        pytest.raises(CapabilityError, match=r"no gradient for teacher 'teacher': no active term of hard_label.* lets one"),
    ):
        update_teacher(run, batches)


def test_cached_answers_are_an_error() -> None:
    with objective() as (run, batches):
        answer = run.answer
        run.answer = lambda *a, **k: answer(*a, **k).detach()  # type: ignore[method-assign]
        with pytest.raises(CapabilityError, match="they are detached, cached"):
            update_teacher(run, batches)


@pytest.mark.parametrize(
    ("backend", "sentence"),
    [
        ("jvp", r"a term of hard_label.hard_label, meta_test_custom.gap cannot be differentiated twice"),
        (
            "double_backward",
            r"no gradient for teacher 'teacher': no active term of hard_label.hard_label, meta_test_custom.gap",
        ),
    ],
)
def test_a_loss_that_cannot_be_differentiated_twice_is_named(backend: str, sentence: str) -> None:
    settings, methods = {"backend": backend}, {"meta_test_custom": {}}
    with objective(settings=settings, methods=methods) as (run, batches), pytest.raises(CapabilityError, match=sentence):
        update_teacher(run, batches)


def one_logit(losses: str) -> Any:
    task = {"use": "meta_test_regression", "data": "digits", "train_size": 100, "validation": 1000}
    return objective("mlp", losses, task=task, student="meta_test_one_logit", teacher=trainable("meta_test_one_logit"))


def test_the_softmax_of_one_logit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo_meta.teacher_monitor.measured", lambda run, teacher: 0.0)
    sentence = "has one logit and the softmax of one logit is always 1"
    with one_logit("softmax_mse") as (run, batches), pytest.raises(CapabilityError, match=sentence):
        update_teacher(run, batches)
    with one_logit("logit_mse") as (run, batches):
        update_teacher(run, batches)


@pytest.mark.parametrize("methods", [{}, {"meta_test_argmax": {}}], ids=str)
def test_what_cannot_work_is_found_on_the_first_batch_though_the_teacher_is_still(methods: dict[str, Any]) -> None:
    optimizers = {"student": "sgd", "teacher": {"use": "sgd", "lr": 0.0}}
    with (
        objective(methods=methods, optimizers=optimizers) as (run, batches),
        pytest.raises(CapabilityError, match="no gradient"),
    ):
        update_teacher(run, batches)
    adadelta = {"student": "meta_test_adadelta", "teacher": {"use": "sgd", "lr": 0.0}}
    sentence, settings = "cannot imitate the student's optimizer Adadelta", {"inner": "student"}
    with objective(settings=settings, optimizers=adadelta) as (run, batches), pytest.raises(CapabilityError, match=sentence):
        update_teacher(run, batches)


def test_that_rehearsal_happens_once_and_leaves_nothing() -> None:
    optimizers = {"student": "sgd", "teacher": {"use": "sgd", "lr": 0.0}}
    with objective(optimizers=optimizers) as (run, batches):
        update_teacher(run, batches)
        assert all(p.grad is None for p in run.model("teacher").parameters())
        assert not run.optimizers["teacher"].state
        run.forward = None  # type: ignore[assignment, method-assign]  nothing runs from now on
        update_teacher(run, batches)


def test_a_meta_gradient_of_zero_is_warned_of() -> None:
    sentence = "the meta-gradient is exactly 0, so teacher 'teacher' does not move"
    with objective(settings={"inner_lr": 0.0}) as (run, batches), pytest.warns(UserWarning, match=sentence):
        update_teacher(run, batches)


# -- modules and modes that the released code cannot use -------------------------------------------------------------


@pytest.mark.parametrize("model", ["meta_test_no_forward_mode", "meta_test_lstm"])
def test_a_student_without_forward_mode_falls_back_and_says_so_once(model: str) -> None:
    """A custom function, and torch's LSTM kernel on CPU in single precision."""
    with objective("mlp", "kl", {"backend": "fd_logit"}, student=model) as (run, batches):
        expected = meta_gradient(run, batches)
    with objective("mlp", "kl", student=model) as (run, batches):
        with pytest.warns(UserWarning, match=r"no forward-mode differentiation .* goes on by finite differences"):
            meta_gradient(run, batches)
        assert_same(meta_gradient(run, batches), expected, 0)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("window", [1, 2])
def test_activation_checkpointing_changes_nothing(window: int) -> None:
    """In student and teacher, with dropout: the second forward must see the pilot's parameters, not the student's."""
    found = []
    for name in ("meta_test_checkpointed", "meta_test_transformer"):
        net = {"use": name, "depth": 2, "dropout": 0.2}
        teacher = {"use": "trainable", "model": {"use": name, "width": 12}}
        with objective("transformer", "kl", {"window": window, "inner_lr": 1.0}, student=net, teacher=teacher) as (
            run,
            batches,
        ):
            found.append(meta_gradient(run, batches))
    assert_same(*found, 1e-12)


def test_loss_scaling_cancels() -> None:
    """fp16's scaler, with the forwards in full precision; the teacher's optimizer unscales what is left for it."""
    found = []
    for scale in (None, 1024.0):
        with objective("batchnorm", "features", {"window": 2}) as (run, batches):
            if scale:
                run.precision.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
            found.append({name: g / run.precision.scale for name, g in meta_gradient(run, batches).items()})
    assert_same(found[1], found[0], 1e-5)


@pytest.mark.parametrize("nets", ["mlp", "batchnorm", "transformer"])
def test_bf16_autocast_is_near_full_precision(nets: str) -> None:
    found = []
    for precision in ("bf16", "fp32"):
        with objective(nets, "kl", train={"epochs": 1, "batch_size": 12, "precision": precision}) as (run, batches):
            gradient = meta_gradient(run, batches)
            found.append(torch.cat([g.float().flatten() for g in gradient.values()]))
            assert all(g.dtype == torch.float32 for g in gradient.values())
    assert torch.cosine_similarity(*found, dim=0) > 0.98


def test_a_compiled_run_uses_plain_modules_for_the_meta_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda module: module)
    train = {"epochs": 1, "batch_size": 12, "compile": True}
    with objective(train=train) as (run, batches):
        assert set(run.compiled) == {"student", "teacher"}
        del run.compiled["student"]
        assert meta_gradient(run, batches)


def test_several_learners_cannot_share_a_forward() -> None:
    with pytest.raises(CapabilityError, match="share_forward is for a single learner, here are student, peer"):
        assemble(recipe(settings={"share_forward": True}, learners={"peer": "meta_test_mlp"}).settings)


def test_the_teacher_answers_in_eval_mode() -> None:
    assert MetaDistil().needs().teacher_mode == "eval"
    assert assemble(tiny_recipe("metadistil", {"quiz": 0.3}, recipe={"methods": {"kd": {}}}).settings).needs.window == 1


# -- what the meta-gradient leaves out -------------------------------------------------------------------------------


class DetachedWeights(Method):
    """A loss whose weights are made of the teacher's answers, and taken as constant."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        s, t = step.student.rows.logits, step.teacher.rows.logits
        return (t.square().mean(1).detach() * (s - t).square().mean(1)).mean()


class DetachedStudent(Method):
    """A loss against the student's own answers, taken as constant."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        s, t = step.student.rows.logits, step.teacher.rows.logits
        return (s * (s.detach().square() - t)).mean()


def rehearsed(name: str, settings: dict[str, Any]) -> None:
    with objective("batchnorm", "kl", settings, methods={"kd": {}, name: {}}) as (run, window):
        update_teacher(run, window)


@pytest.fixture
def detaching() -> None:
    register({"methods": {"meta_test_weights": DetachedWeights, "meta_test_own": DetachedStudent}})


@pytest.mark.usefixtures("detaching")
def test_a_term_that_detaches_what_is_made_of_the_teacher_is_told_with_its_error() -> None:
    with pytest.warns(InexactWarning, match=r"methods\.meta_test_weights\.gap .* the teacher's answers.* [\d.]+ % off"):
        rehearsed("meta_test_weights", {})


@pytest.mark.usefixtures("detaching")
def test_the_students_own_constants_matter_from_the_second_inner_step_on() -> None:
    rehearsed("meta_test_own", {})  # warnings are errors here
    with pytest.warns(InexactWarning, match=r"methods\.meta_test_own\.gap .* the student's answers"):
        rehearsed("meta_test_own", {"window": 2})


@pytest.mark.parametrize("name", ["dkd", "rkd", "at", "review_kd", "fitnets_joint", "cc_neighbors", "wsld"])
def test_only_what_detaches_is_told(name: str) -> None:
    """Kinks and rounding in float32 are no reason."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rehearsed(name, {})
    assert bool([w for w in said if w.category is InexactWarning]) == (name == "wsld")


def test_a_quiz_in_eval_mode_with_batchnorm_is_told() -> None:
    with pytest.warns(InexactWarning, match="statistics from before the inner step"):
        rehearsed("hard_label", {"quiz_mode": "eval"})
