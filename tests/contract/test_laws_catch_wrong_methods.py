"""Each law rejects a method that breaks it: a law that no method can fail would protect nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from kdzoo import Method, registry, term
from kdzoo.engine.run import Run
from kdzoo.errors import PluginError
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.testing import MethodContract
from kdzoo.testing.tiny import TEACHER

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
TRAINED_TEACHER = {
    "teacher": {"use": "trainable", "model": TEACHER},
    "optimizers": {"student": {"use": "sgd", "lr": 0.02}, "teacher": {"use": "sgd", "lr": 0.01}},
}


def contract(method: type[Method], **attributes: Any) -> MethodContract:
    """The laws on a method that is registered for this test alone."""
    name = f"wrong_{method.__name__.lower()}"
    registry.register("methods", name, method)
    made: MethodContract = type("Contract", (MethodContract,), {"method": name, **attributes})()
    return made


class Squares(Method):
    """A sound method: the mean square of the logits."""

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return step.student.rows.logits.square().mean()


class LeftOnTheHost(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        scale = torch.linspace(0.5, 1.0, step.student.rows.logits.shape[1])
        return (step.student.rows.logits * scale).square().mean()


class IndexedFromTheHost(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return step.student.rows.logits[torch.arange(2)].square().mean()


class PlainAttribute(Squares):
    """Holds a tensor that is no buffer, so that it does not follow its method to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(10)

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return (step.student.rows.logits * self.scale).square().mean()


class ReadBack(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        logits = step.student.rows.logits
        return logits.square().mean() / max(1.0, logits.detach().abs().max().item())


class ReadAsBool(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        loss = step.student.rows.logits.square().mean()
        return loss if loss.detach() > 0 else -loss


class CopiedBack(Squares):
    def after_step(self, steps: Sequence[Step], run: Run) -> None:
        run.note(size=steps[0].student.rows.logits.cpu().ndim)


class TestTheDeviceLaw:
    @pytest.mark.parametrize("wrong", [LeftOnTheHost, IndexedFromTheHost, PlainAttribute])
    def test_rejects_tensors_that_stay_on_the_cpu(self, wrong: type[Method]) -> None:
        with pytest.raises((AssertionError, RuntimeError), match=r"left on the CPU|on the same device"):
            contract(wrong).test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back()

    @pytest.mark.parametrize("wrong", [ReadBack, ReadAsBool])
    def test_rejects_values_that_the_host_reads(self, wrong: type[Method]) -> None:
        with pytest.raises(AssertionError, match="makes the host wait"):
            contract(wrong).test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back()

    def test_rejects_copies_to_the_host(self) -> None:
        with pytest.raises(AssertionError, match="copies a tensor of the device to the host"):
            contract(CopiedBack).test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back()

    def test_notices_a_declared_wait_that_is_none(self) -> None:
        with pytest.raises(pytest.fail.Exception):
            contract(Squares, reads_back=True).test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back()

    def test_accepts_a_sound_method(self) -> None:
        contract(Squares).test_a_step_leaves_nothing_on_the_host_and_reads_nothing_back()


class Committed(Squares):
    """A second look at a batch that moves BatchNorm statistics."""

    def update_teacher(self, window: Sequence[Batch], run: Run) -> None:
        with torch.no_grad():
            run.forward("student", window[0], commit=True)


class LooksTwice(Squares):
    def update_teacher(self, window: Sequence[Batch], run: Run) -> None:
        with torch.no_grad():
            run.forward("student", window[0])


class Decays(Squares):
    def after_step(self, steps: Sequence[Step], run: Run) -> None:
        for parameter in run.student.parameters():
            parameter.mul_(0.9)


class Prepares(Squares):
    def prepare(self, batch: Batch, run: Run) -> Batch:
        run.forward("student", batch, commit=True)
        return batch


class LeavesGradients(Squares):
    def update_teacher(self, window: Sequence[Batch], run: Run) -> None:
        run.task.supervised(run.forward("student", window[0], commit=False)).backward()


class Tunes(Squares):
    """Fine-tunes its teacher on labels, weighing micro-batches by their share."""

    def needs(self) -> Needs:
        return Needs(teacher=True, teacher_grad=True)

    def share(self, micro: Batch) -> float:
        return micro.size / micro.whole

    def update_teacher(self, window: Sequence[Batch], run: Run) -> None:
        teacher = run.teacher_of(self)
        for micro in run.micros(window[0]):
            (self.share(micro) * run.task.supervised(run.forward(teacher, micro))).backward()
        run.optimize(teacher)


class TunesUnweighed(Tunes):
    def share(self, micro: Batch) -> float:
        return 1.0


class TestTheLawsOfHooks:
    @pytest.mark.parametrize("wrong", [Committed, Decays, Prepares])
    def test_reject_hooks_that_change_a_learner(self, wrong: type[Method]) -> None:
        with pytest.raises(AssertionError, match="changes a learner"):
            contract(wrong).test_hooks_change_no_learner()

    def test_reject_gradients_left_on_a_learner(self) -> None:
        with pytest.raises(AssertionError, match="leaves a gradient on a learner"):
            contract(LeavesGradients).test_hooks_change_no_learner()

    def test_accept_a_look_that_leaves_no_trace(self) -> None:
        contract(LooksTwice).test_hooks_change_no_learner()

    def test_reject_micro_batches_that_are_not_weighed(self) -> None:
        with pytest.raises(AssertionError, match="changes the teacher's gradient"):
            contract(TunesUnweighed, recipe=TRAINED_TEACHER).test_micro_batches_are_invisible_to_a_trained_teacher()

    def test_accept_micro_batches_that_are_weighed(self) -> None:
        contract(Tunes, recipe=TRAINED_TEACHER).test_micro_batches_are_invisible_to_a_trained_teacher()


class Unseeded(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        logits = step.student.rows.logits
        return (logits * torch.rand_like(logits)).square().mean()


class ReadsAnotherTerm(Squares):
    """One term is the other's neighbor in the stash, so that it changes when the other rests."""

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        step.stash["seen"] = torch.ones(())
        return step.student.rows.logits.square().mean()

    @term(weight=0.1)
    def tail(self, step: Step) -> Tensor:
        return step.student.rows.logits.abs().mean() * (2.0 if "seen" in step.stash else 1.0)


class CountsRuns(Squares):
    """Its second run differs from its first."""

    runs: ClassVar[Iterator[float]] = iter(float(n) for n in range(1, 1000))

    def setup(self, run: Run) -> None:
        self.scale = next(self.runs)

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return self.scale * step.student.rows.logits.square().mean()


class CountsSteps(Squares):
    """State that no checkpoint holds: behind a closure."""

    def __init__(self) -> None:
        super().__init__()
        steps = [0]

        def count(more: int) -> int:
            steps[0] += more
            return steps[0]

        self.count = count

    def after_step(self, steps: Sequence[Step], run: Run) -> None:
        self.count(1)

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return (1.0 + self.count(0)) * step.student.rows.logits.square().mean()


class AsksForNothing(Squares):
    def needs(self) -> Needs:
        return Needs(index=True)


class MovesTheTeacher(Squares):
    def needs(self) -> Needs:
        return Needs(teacher=True)

    def after_step(self, steps: Sequence[Step], run: Run) -> None:
        for parameter in run.model(run.teacher_of(self)).parameters():
            parameter.mul_(0.9)


class WithSpare(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.spare = model, nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Any:
        return self.model(x)


class DeploysTooMuch(Squares):
    def deploy(self, run: Run) -> nn.Module:
        return WithSpare(run.student)


class KeepsAModel(Squares):
    def setup(self, run: Run) -> None:
        self.model = run.student


class PastTransforms(Squares):
    def forward(self, step: Step, terms: Sequence[str]) -> dict[str, Tensor]:
        return {name: getattr(self, name)(step) for name in terms}


class Captures(Squares):
    def __init__(self, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.captured = scale, scale

    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return self.captured * step.student.rows.logits.square().mean()


class Sums(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        return step.student.rows.logits.square().sum()


LAWS: list[tuple[type[Method], str, str]] = [
    (Unseeded, "test_a_term_evaluated_twice_gives_equal_numbers", "two values on one step"),
    (ReadsAnotherTerm, "test_the_total_is_the_weighted_sum_and_weights_touch_only_their_own_term", "changes another term"),
    (CountsRuns, "test_one_seed_gives_one_trajectory_and_the_samples_of_every_other_method", "two runs at one seed"),
    (AsksForNothing, "test_needs_are_honest", "does not use it"),
    (MovesTheTeacher, "test_a_frozen_teacher_is_untouched", "changed a frozen teacher"),
    (DeploysTooMuch, "test_what_is_deployed_stands_alone", "inference does not use"),
    (KeepsAModel, "test_the_method_captures_no_model", "holds a model's parameter"),
    (PastTransforms, "test_a_transform_reaches_its_method_and_no_other", "past its transforms"),
    (Captures, "test_a_constant_schedule_equals_constructing_with_that_value", "captured at construction"),
    (Sums, "test_micro_batches_are_invisible", "changes the gradient"),
]


@pytest.mark.parametrize(("wrong", "law", "message"), LAWS)
def test_a_law_rejects_what_breaks_it(wrong: type[Method], law: str, message: str) -> None:
    with pytest.raises((AssertionError, PluginError), match=message):
        getattr(contract(wrong), law)()


def test_a_killed_run_must_find_its_state_in_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="the resumed run"):
        contract(CountsSteps).test_a_killed_run_resumes_bit_for_bit(5, tmp_path)


class LooksAtHiddenLabels(Squares):
    @term(weight=0.1)
    def squares(self, step: Step) -> Tensor:
        rows = step.student.rows
        assert rows.target is not None
        return rows.logits.gather(1, rows.target[:, None]).square().mean()


class TestTheLawOfHiddenLabels:
    def test_rejects_a_term_that_reads_them(self) -> None:
        with pytest.raises(AssertionError, match="reads the labels of rows that have none"):
            contract(LooksAtHiddenLabels).test_a_label_that_was_taken_away_teaches_nothing()

    def test_accepts_a_sound_method(self) -> None:
        contract(Squares).test_a_label_that_was_taken_away_teaches_nothing()
