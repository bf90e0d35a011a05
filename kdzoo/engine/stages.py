"""Stages: what trains, with which weights, optimizers and schedules, in each consecutive part of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import nn

from kdzoo.engine.gradient_groups import GradientGroups
from kdzoo.engine.rates import Rates
from kdzoo.engine.run import Run
from kdzoo.engine.schedule_binding import Binding, bind
from kdzoo.errors import PluginError, RecipeError, did_you_mean
from kdzoo.protocol.blame import each_of, hook_of, returned
from kdzoo.protocol.needs import MAIN_STAGE, Stage
from kdzoo.schedules import Schedule


@dataclass(frozen=True)
class StagePlan:
    """The stages of a run in order, the methods they belong to (None: main), and the recipe's schedules."""

    stages: tuple[Stage, ...]
    owners: tuple[str | None, ...]
    schedules: Mapping[str, Schedule]
    base: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, run: Run, epochs: int, schedules: Mapping[str, Schedule]) -> StagePlan:
        """The methods' own stages in recipe order, then the main one."""
        early = [
            (label, returned(stage, Stage, f"methods.{label}", "stages"))
            for label, m in run.methods.items()
            for stage in each_of(m.stages(), f"methods.{label}", "stages")
        ]
        for label, stage in early:
            unknown = set(stage.weights) - set(run.methods[label].kdzoo_terms)
            if unknown:
                raise PluginError(f"methods.{label}: stage {stage.name!r} weighs {sorted(unknown)}, which are not its terms.")
        main = Stage(MAIN_STAGE, epochs, {}, trains=("*",))
        return cls(
            (*(replace(s, name=f"{label}.{s.name}") for label, s in early), main),
            (*(label for label, _ in early), None),
            schedules,
            {label: dict(method.weights) for label, method in run.methods.items()},
        )

    @contextmanager
    def entered(self, run: Run, number: int) -> Iterator[list[Binding]]:
        """Enter a stage: weights, what trains, fresh optimizers, bound schedules; undone on leaving."""
        stage, owner = self.stages[number], self.owners[number]
        run.stage = stage.name
        for label, method in run.methods.items():
            weights = dict(self.base[label]) if owner is None else dict(stage.weights) if label == owner else {}
            method.weights = run.weights_now[label] = weights
        frozen = _freeze(run, stage, owner)
        _make_optimizers(run, stage)
        active = {p: s for p, s in self.schedules.items() if owner is None or ".weights." not in p}
        bindings = bind(run, active)
        run.scheduled = frozenset(b.path for b in bindings)
        with run.mode(training=stage.student_mode == "train"):
            for method in run.methods.values():
                method.train()
            try:
                yield bindings
            finally:
                for binding in bindings:
                    binding.put(binding.base)
                for parameter in frozen:
                    parameter.requires_grad_(True)


def _freeze(run: Run, stage: Stage, owner: str | None) -> list[nn.Parameter]:
    """Switch off the parameters that the stage does not train; what was switched off."""
    globs = [glob.replace("self.", f"methods.{owner}.", 1) if glob.startswith("self.") else glob for glob in stage.trains]
    frozen = [p for n, p in run.trainable().items() if not any(fnmatchcase(n, glob) for glob in globs)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    if not run.trainable():
        raise PluginError(f"stage {stage.name!r} trains nothing: no parameter matches {', '.join(globs)}.")
    return frozen


def _make_optimizers(run: Run, stage: Stage) -> None:
    run.optimizers, run.rates, run.gradient_groups = {}, {}, {}
    first = next(iter(run.learners))
    for role in [*run.learners, *(name for name, teacher in run.teachers.items() if teacher.trains)]:
        maker = run.makers.get(role) or (run.makers[first] if role in run.learners else None)
        if maker is None:
            raise RecipeError(
                f"teacher {role!r} is trained, but there is no optimizers.{role} ({did_you_mean(role, run.makers)}); "
                f"add `optimizers: {{{role}: {{use: sgd, lr: ...}}}}` to the recipe."
            )
        parameters = run.trainable(role).values() if role in run.learners else run.model(role).parameters()
        with hook_of(f"optimizers.{role}", "build"):
            optimizer = maker.build([p for p in parameters if p.requires_grad])
        run.optimizers[role] = returned(optimizer, torch.optim.Optimizer, f"optimizers.{role}", "build")
        run.rates[role] = Rates(run.optimizers[role])
        if getattr(maker, "parts", None):
            run.gradient_groups[role] = GradientGroups(maker.parts, run.optimizers[role], role)  # type: ignore[attr-defined]
        if stage.lr is not None and role in run.learners:
            run.rates[role]["lr"] = stage.lr
