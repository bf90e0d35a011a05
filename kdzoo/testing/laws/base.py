"""What every group of laws shares: the class attributes of a contract, its tiny runs, and how terms are read."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.run import Run
from kdzoo.engine.stages import StagePlan
from kdzoo.errors import KdzooError
from kdzoo.protocol.outputs import ENGINE, MAIN, Batch, Output, Step
from kdzoo.recipe.load import Recipe
from kdzoo.testing.laws.helpers import train_run
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run


class Laws:
    """One method in tiny runs. `MethodContract` lists the attributes; the groups of laws are mixins on this class."""

    method: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Mapping[str, Any]] = {}
    fixed: ClassVar[frozenset[str]] = frozenset()
    reads_back: ClassVar[bool] = False

    def make(self, out: Path | str = "runs", **sections: Any) -> Recipe:
        """The tiny recipe of this method, with further sections replaced."""
        return tiny_recipe(self.method, self.settings, out=out, recipe={**self.recipe, **sections})

    def stages(self) -> Iterator[Run]:
        """The run in each of its stages."""
        recipe = self.make()
        count = len(StagePlan.of(assemble(recipe.settings), 1, {}).stages)
        for number in range(count):
            with tiny_run(recipe, stage=number) as run:
                yield run

    def plain(self) -> Recipe:
        """The same recipe with hard labels only."""
        sections = {k: v for k, v in self.recipe.items() if k not in ("teacher", "teachers", "optimizers")}
        return tiny_recipe("hard_label", recipe=sections)

    def terms(self, run: Run, step: Step, weights: Any = None) -> dict[str, float]:
        """Every active term's value, leaving no trace."""
        fresh = replace(step, stash={}, _cache={})
        with torch.no_grad():
            run.total(fresh, weights, commit=False)
        return {name: float(value) for name, value in fresh.stash[ENGINE].items()}

    def losses(self, recipe: Recipe) -> list[float]:
        """The totals of the first steps of a run."""
        return train_run(assemble(recipe.settings), recipe)[0]

    def trajectory(self) -> tuple[list[float], dict[str, Tensor]]:
        return train_run(assemble(self.make().settings))

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
            train_run(run, epochs=1)
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

    def reads_rows(self, run: Run, step: Step) -> bool:
        """Whether the method's own terms are other numbers once the student's, and the teachers', logits are."""

        def moved(output: Output) -> Output:
            logits = output.rows.logits.detach()
            noise = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
            return replace(output, rows=replace(output.rows, scores=logits + noise))

        changed = replace(step, student=moved(step.student), stash={}, _cache={})
        changed = replace(changed, teachers={name: moved(output) for name, output in step.teachers.items()})
        own = {self.method: run.weights_now[self.method]}
        return bool(self.terms(run, changed, own) != self.terms(run, step, own))

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
