"""The laws of the method protocol, as tests that run on any registered method."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.launch import DEPLOYED, launch
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.errors import CapabilityError, KdzooError
from kdzoo.protocol.method import overrides
from kdzoo.protocol.outputs import ENGINE, MAIN, Batch, Step
from kdzoo.recipe.load import Recipe
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
class MethodContract:
    """Inherit and set `method`; every `test_` below is a law that the method keeps.

    Attributes:
        method: the registered name.
        settings: its settings in the tests, where the defaults are too large for a tiny run.
        recipe: top-level sections of the tiny recipe that the method needs otherwise (`student`, `teacher`, ...).
        fixed: float hyper-parameters that act at construction only and cannot follow a schedule.
    """

    method: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Mapping[str, Any]] = {}
    fixed: ClassVar[frozenset[str]] = frozenset()

    def make(self, out: Path | str = "runs", **sections: Any) -> Recipe:
        """The tiny recipe of this method, with further sections replaced."""
        return tiny_recipe(self.method, self.settings, out=out, recipe={**self.recipe, **sections})

    # 1
    def test_a_term_evaluated_twice_gives_equal_numbers(self) -> None:
        for run in self.stages():
            step = run.step(first_window(run)[0])
            before = _state(run.methods)
            first = self.terms(run, step)
            assert first == self.terms(run, step), "a term gave two values on one step; take randomness from step.generator"
            _assert_equal(before, _state(run.methods), "evaluating a term on cloned buffers changed the method's state")
            run.total(step)
            _assert_equal(before, _state(run.methods), "a term moved more than running statistics", ignore=STATISTICS)

    # 2
    def test_the_total_is_the_weighted_sum_and_weights_touch_only_their_own_term(self) -> None:
        for run in self.stages():
            step = run.step(first_window(run)[0])
            values = self.terms(run, step)
            weights = {f"{label}.{name}": w for label, own in run.weights_now.items() for name, w in own.items() if w}
            total = run.total(step, commit=False).item()
            assert total == pytest.approx(sum(weights[name] * values[name] for name in weights), rel=1e-5, abs=1e-7)
            for name in weights:
                label, term = name.split(".")
                without = {
                    k: {n: 0.0 if (k, n) == (label, term) else w for n, w in v.items()} for k, v in run.weights_now.items()
                }
                rest = self.terms(run, step, without)
                assert name not in rest, f"term {name} is evaluated although its weight is 0"
                assert rest == {n: v for n, v in values.items() if n != name}, f"the weight of {name} changes another term"

    # 3
    def test_one_seed_gives_one_trajectory_and_the_samples_of_every_other_method(self) -> None:
        first, second = self.trajectory(), self.trajectory()
        assert first[0] == second[0], "two runs at one seed gave different losses"
        _assert_equal(first[1], second[1], "two runs at one seed gave different weights")
        run, plain = assemble(self.make().settings), assemble(self.plain().settings)
        _assert_equal(
            _state(plain.learners), _state({n: run.learners[n] for n in plain.learners}), "the student starts elsewhere"
        )
        if not overrides(run.methods[self.method], "prepare") and not run.needs.splits:
            ours, theirs = first_window(run)[0], first_window(plain)[0]
            assert torch.equal(ours.inputs, theirs.inputs), "the method changes which samples are seen"

    # 4
    @pytest.mark.parametrize("records", [2, 5])
    def test_a_killed_run_resumes_bit_for_bit(self, records: int, tmp_path: Path) -> None:
        whole = launch(self.make(tmp_path / "whole"))
        broken = self.make(tmp_path / "broken")
        broken.settings["runtime"]["checkpoint_every"] = 1
        with pytest.raises(Killed):
            launch(broken, listeners=[Killer(records)])
        resumed = launch(broken)
        a, b = load_file(whole.folder / DEPLOYED), load_file(resumed.folder / DEPLOYED)
        _assert_equal(a, b, "the resumed run ends elsewhere")
        assert _losses(whole.folder) == _losses(resumed.folder), "the resumed run logged other losses"

    # 5
    def test_needs_are_honest(self) -> None:
        """What was not declared is not there, and taking away what was declared is noticed."""
        for taken in self.declared():
            assert any(self.notices(run, taken) for run in self.stages()), f"the method declares {taken} but does not use it"

    # 6
    def test_a_frozen_teacher_is_untouched(self) -> None:
        run = assemble(self.make().settings)
        frozen = {name: teacher for name, teacher in run.teachers.items() if teacher.frozen}
        before = _state(frozen)
        _train(run)
        _assert_equal(before, _state(frozen), "training changed a frozen teacher")
        assert not any(module.training for teacher in frozen.values() for module in teacher.modules())
        assert not any(p.requires_grad or p.grad is not None for teacher in frozen.values() for p in teacher.parameters())

    # 7
    def test_what_is_deployed_stands_alone(self) -> None:
        run = assemble(self.make().settings)
        _train(run)
        task, batch = run.task, first_window(run)[0]
        module = run.deployed().eval()
        expected = task.forward(module, batch, MAIN).rows.logits.detach()
        alone = copy.deepcopy(module)
        del run, module
        assert torch.equal(task.forward(alone, batch, MAIN).rows.logits, expected)
        alone.requires_grad_(True).zero_grad()
        task.forward(alone, batch, MAIN).rows.logits.logsumexp(1).sum().backward()
        unused = [name for name, p in alone.named_parameters() if p.grad is None]
        assert not unused, f"the deployed module holds what inference does not use: {', '.join(unused)}"

    # 8
    def test_the_method_captures_no_model(self) -> None:
        run = assemble(self.make().settings)
        models = {id(p) for m in [*run.learners.values(), *run.teachers.values()] for p in m.parameters()}
        assert not [n for n, p in run.methods[self.method].named_parameters() if id(p) in models]

    # 9
    def test_a_transform_reaches_its_method_and_no_other(self) -> None:
        """A method that looks at logits sees the transformed ones; hard labels next to it do not."""
        registry.register("transforms", "kdzoo_testing_shift", Shift)
        with tiny_run(self.make()) as run:
            values = self.terms(run, run.step(first_window(run)[0]))
        own = {**self.settings, "logits": ["kdzoo_testing_shift"]}
        with tiny_run(tiny_recipe(self.method, own, recipe=self.recipe)) as run:
            step = run.step(first_window(run)[0])
            shifted = self.terms(run, step)
            if self.method != "hard_label":
                assert shifted["hard_label.hard_label"] == values["hard_label.hard_label"]
            method = run.methods[self.method]
            seen, _ = method._transformed(run.view(step, method))
            assert torch.equal(seen.student.rows.logits, Shift()(seen.student.rows.logits, inner=step.student.rows.logits))
            if self.uses_logits(run, step):
                mine = [name for name in values if name.startswith(f"{self.method}.")]
                assert any(shifted[n] != values[n] for n in mine), "the method reads logits past its transforms"

    # 10
    def test_a_constant_schedule_equals_constructing_with_that_value(self) -> None:
        for name, value in self.floats():
            schedules = {f"methods.{self.method}.{name}": {"use": "constant", "value": value}}
            built = self.losses(tiny_recipe(self.method, {**self.settings, name: value}, recipe=self.recipe))
            bound = self.losses(self.make(schedules=schedules))
            assert bound == built, f"{name} is captured at construction: a schedule on it has no effect (or another one)"

    # 11
    def test_micro_batches_are_invisible(self) -> None:
        if assemble(self.make().settings).own_needs[self.method].whole_batch:
            halved = self.make(train={"epochs": 1, "batch_size": 12, "accumulate": 2})
            with pytest.raises(CapabilityError, match=r"train\.accumulate=1"):
                assemble(halved.settings)
            return
        for run in self.stages():
            with run.mode(training=False):
                batch = first_window(run)[0]
                whole, halves = self.gradients(run, [batch]), self.gradients(run, list(run.task.split(batch, 2)))
            for name, grad in whole.items():
                near = torch.allclose(halves[name], grad, rtol=2e-4, atol=2e-6)
                assert near, f"splitting the batch changes the gradient of {name}"

    # -- helpers -----------------------------------------------------------------------------------------------------

    def stages(self) -> Iterator[Run]:
        """The run in each of its stages."""
        recipe = self.make()
        count = len(StagePlan.of(assemble(recipe.settings), 1, {}).stages)
        for number in range(count):
            with tiny_run(recipe, stage=number) as run:
                yield run

    def plain(self) -> Recipe:
        """The same recipe with hard labels only."""
        return tiny_recipe("hard_label", recipe={k: v for k, v in self.recipe.items() if k not in ("teacher", "teachers")})

    def terms(self, run: Run, step: Step, weights: Any = None) -> dict[str, float]:
        """Every active term's value, leaving no trace."""
        fresh = replace(step, stash={}, _cache={})
        with torch.no_grad():
            run.total(fresh, weights, commit=False)
        return {name: float(value) for name, value in fresh.stash[ENGINE].items()}

    def losses(self, recipe: Recipe) -> list[float]:
        """The totals of the first steps of a run."""
        return _train(assemble(recipe.settings), recipe)[0]

    def trajectory(self) -> tuple[list[float], dict[str, Tensor]]:
        return _train(assemble(self.make().settings))

    def gradients(self, run: Run, micros: list[Batch]) -> dict[str, Tensor]:
        parameters = run.trainable()
        for parameter in parameters.values():
            parameter.grad = None
        counts = run.counts(micros)
        for micro in micros:
            total, _ = run.objective(micro, weights=run.weights(micro, counts))
            total.backward()  # type: ignore[no-untyped-call]
        return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}

    def declared(self) -> list[tuple[str, ...]]:
        """What the method declared: each tap by role, and the sample index."""
        run = assemble(self.make().settings)
        taps = [("tap", role, key) for (label, role), keys in run.tap_keys.items() if label == self.method for key in keys]
        return taps + ([("index",)] if run.own_needs[self.method].index else [])

    def notices(self, run: Run, taken: tuple[str, ...]) -> bool:
        """Whether the terms change, or complain, once something declared is taken away."""
        step = run.step(first_window(run)[0])
        before = self.terms(run, step)
        if taken[0] == "tap":
            keys = run.tap_keys[self.method, taken[1]]
            run.tap_keys[self.method, taken[1]] = {key: path for key, path in keys.items() if key != taken[2]}
        else:
            run.own_needs = {**run.own_needs, self.method: replace(run.own_needs[self.method], index=False)}
        try:
            if self.terms(run, step) != before:
                return True
            _train(run, epochs=1)
            run.task.forward(run.deployed(), first_window(run)[0], MAIN)
        except Exception:  # however the method fails without what it declared, it noticed
            return True
        return False

    def uses_logits(self, run: Run, step: Step) -> bool:
        """Whether the method's own terms depend on the student's logits at all."""
        logits = step.student.rows.logits.detach().requires_grad_()
        changed = replace(
            step, student=replace(step.student, rows=replace(step.student.rows, scores=logits)), stash={}, _cache={}
        )
        own = {self.method: run.weights_now[self.method]}
        total = run.total(changed, own, commit=False)
        return total.requires_grad and torch.autograd.grad(total, logits, allow_unused=True)[0] is not None

    def floats(self) -> Iterator[tuple[str, float]]:
        """Every float hyper-parameter with another admissible value."""
        factory: Any = registry.get("methods", self.method)
        hints = inspect.get_annotations(factory.__init__, eval_str=True)
        for name, parameter in inspect.signature(factory).parameters.items():
            if hints.get(name) is not float or name in self.fixed:
                continue
            value = self.settings.get(name, parameter.default)
            for other in (value * 0.5, value * 1.5, value + 0.25):
                try:
                    factory(**{**self.settings, name: other})
                except (ValueError, KdzooError):
                    continue
                if other != value:
                    yield name, other
                    break


class Shift(nn.Module):
    """A transform that nothing should mistake for the identity."""

    kdzoo_kind: ClassVar[str] = "transforms"

    def forward(self, pair: Any, step: Any = None, *, inner: Tensor | None = None) -> Any:
        def shifted(logits: Tensor) -> Tensor:
            return logits * torch.linspace(0.5, 2.0, logits.shape[1], dtype=logits.dtype)

        if inner is not None:
            return shifted(inner)
        return replace(pair, student=replace(pair.student, scores=shifted(pair.student.logits)))


class Killed(Exception):
    """Raised in the middle of a run, as a kill would end it."""


class Killer:
    """A listener that ends the run at its n-th record."""

    def __init__(self, records: int) -> None:
        self.left = records

    def __call__(self, record: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class _Losses(Observer):
    def __init__(self) -> None:
        self.values: list[float] = []

    def stepped(self, run: Run, position: Position, trained: Any) -> None:
        self.values += [float(v) for micro in trained for v in micro.values.values()]


def _train(run: Run, recipe: Recipe | None = None, *, epochs: int = 1) -> tuple[list[float], dict[str, Tensor]]:
    """Train for a few epochs; every term of every step, and the final state."""
    from kdzoo.recipe.build import build

    settings: Any = recipe.settings if recipe else run.settings
    schedules: Any = {path: build("schedules", spec, path) for path, spec in settings["schedules"].items()}
    losses = _Losses()
    train(run, StagePlan.of(run, epochs, schedules), Feed(run), losses, Position())
    return losses.values, _state({**run.learners, **run.methods})


def _state(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value.detach().clone()
        for name, module in modules.items()
        for key, value in module.state_dict().items()
        if isinstance(value, Tensor)
    }


def _assert_equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor], message: str, ignore: tuple[str, ...] = ()) -> None:
    different = [k for k in a if not k.endswith(ignore or ("\0",)) and not torch.equal(a[k], b[k])]
    assert a.keys() == b.keys(), message
    assert not different, f"{message}: {', '.join(different[:3])}"


def _losses(folder: Path) -> list[tuple[Any, ...]]:
    import json

    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["stage"], r["epoch"], r["step"], r["loss"]) for r in records if r["event"] == "step"]
