"""A run: the models, methods, teachers, optimizers and numbers of one training, and what is done with them.

An ordinary training step is the composition of two functions without side effects, `forward` and `total`; `objective` is
both in one. Hooks see a run as `kdzoo.protocol.context.RunContext`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.engine import method_view
from kdzoo.engine.costs import Costs
from kdzoo.engine.denominators import counts_of, counts_over, shares
from kdzoo.engine.distributed import ProcessGroup
from kdzoo.engine.feature_recorder import FeatureRecorder, Overwritten
from kdzoo.engine.gradient_groups import GradientGroups
from kdzoo.engine.precision import Precision, full_rows
from kdzoo.engine.rates import Rates
from kdzoo.engine.source import Source
from kdzoo.protocol.blame import hook_of, returned
from kdzoo.protocol.context import Counts, Labeled, Parameters, Weights
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import ENGINE, MAIN, Batch, Output, Progress, Step
from kdzoo.protocol.roles import Optimizer
from kdzoo.protocol.task import Task
from kdzoo.protocol.teacher import Teacher
from kdzoo.random import Streams
from kdzoo.schedules import Schedule

TrainRecipe = Callable[..., nn.Module]
"""Trains the recipe of a teacher, or finds it trained: `(run, settings, which=...)` -> its deployed module."""


@dataclass
class Run:
    """One training.

    Attributes:
        settings: the resolved recipe. precision: of its forwards.
        source: the task, the data and the frozen teachers that it draws from.
        needs, own_needs: merged, and by label of a method.
        learners, teachers, methods: the modules, by name, name and label.
        makers: optimizers as configured, by role; optimizers, rates, gradient_groups: those of the present stage.
        schedules: as configured, by path; scheduled: the paths bound in the present stage.
        weights_now: label -> term -> weight as it stands.
        stage, progress: where training stands.
        taps: recorder of each model's features; tap_keys: (label, role) -> name that the method uses -> tap.
        widths, feature_shapes: of each model's logits and taps, found by a trial before training.
        compiled: compiled models by role.
        notes, norms: what hooks want in the log, and norms of gradients before clipping.
        precomputed: (learner, batch, micro-batch) -> its answers by view on the coming step, if `update_teacher` left them.
        training: whether a learner's forward moves its running statistics, which is so in the training step alone.
        train_recipe: how a teacher that is a recipe gets its weights.
        costs: what the training has cost so far.
    """

    settings: Mapping[str, Any]
    source: Source
    needs: Needs
    own_needs: Mapping[str, Needs]
    precision: Precision
    learners: dict[str, nn.Module] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    makers: dict[str, Optimizer] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    rates: dict[str, Rates] = field(default_factory=dict)
    gradient_groups: dict[str, GradientGroups] = field(default_factory=dict)
    weights_now: dict[str, dict[str, float]] = field(default_factory=dict)
    scheduled: frozenset[str] = frozenset()
    stage: str = "main"
    progress: Progress = field(default_factory=lambda: Progress(0, 1, 0, 1))
    taps: dict[str, FeatureRecorder] = field(default_factory=dict)
    tap_keys: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    feature_shapes: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    compiled: dict[str, Callable[..., Any]] = field(default_factory=dict)
    notes: dict[str, float | Tensor] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)
    precomputed: dict[tuple[str, int, int], Mapping[str, Output]] = field(default_factory=dict)
    training: bool = False
    train_recipe: TrainRecipe | None = None
    costs: Costs = field(default_factory=Costs)

    # -- what there is -----------------------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        return self.source.task

    @property
    def streams(self) -> Streams:
        return self.source.streams

    @property
    def device(self) -> torch.device:
        return self.source.device

    @property
    def processes(self) -> ProcessGroup:
        return self.source.processes

    @property
    def student(self) -> nn.Module:
        return next(iter(self.learners.values()))

    @property
    def first(self) -> str:
        return next(iter(self.learners))

    @property
    def samples(self) -> int:
        return self.task.size("train")

    @property
    def classes(self) -> int:
        return self.widths[self.first]

    def model(self, role: str) -> nn.Module:
        if role in self.learners:
            return self.learners[role]
        model = self.teachers[role].model
        if model is None:
            raise KeyError(f"teacher {role!r} has no model")
        return model

    def shapes(self, method: Labeled, role: str = "student") -> dict[str, tuple[int, ...]]:
        name = self.teacher_of(method) if role == "teacher" else role
        return {key: self.feature_shapes[name][tap] for key, tap in self.tap_keys[method.label, name].items()}

    def teacher_of(self, method: Labeled) -> str:
        return method.teacher or next(iter(self.teachers))

    def trainable(self, learner: str | None = None) -> dict[str, nn.Parameter]:
        learner = learner or self.first
        named = {f"{learner}.{name}": p for name, p in self.learners[learner].named_parameters()}
        if self.learners[learner] is self.student:
            for label, method in self.methods.items():
                named |= {f"methods.{label}.{name}": p for name, p in method.named_parameters()}
        return {name: p for name, p in named.items() if p.requires_grad}

    def trained(self, settings: Mapping[str, Any], *, which: str) -> nn.Module:
        """The deployed module of a recipe that is a teacher here, with `last`, `best` or `initial` weights."""
        assert self.train_recipe is not None, "a run that has teachers with recipes is assembled with `train_recipe`"
        return self.train_recipe(self, settings, which=which)

    @contextmanager
    def mode(self, *, training: bool) -> Iterator[None]:
        """Put learners and methods in train or eval mode for a block; frozen teachers never leave eval."""
        modules = [*self.learners.values(), *self.methods.values()]
        before = [m.training for m in modules]
        for module in modules:
            module.train(training)
        try:
            yield
        finally:
            for module, was in zip(modules, before, strict=True):
                module.train(was)

    # -- asking models -----------------------------------------------------------------------------------------------

    def forward(
        self,
        role: str,
        batch: Batch,
        params: Parameters | None = None,
        buffers: Parameters | None = None,
        *,
        view: str = MAIN,
        commit: bool | None = None,
    ) -> Output:
        """A model's answer on one view of a batch, with its taps.

        Args:
            params, buffers: stand in for the model's own, by name. With `params`, missing buffers are cloned.
            commit: whether running statistics (BatchNorm's) move. By default a learner's move in the training step only, so
                that a hook may look at a batch without leaving a trace; a teacher's move in its train mode.
        """
        model = self.model(role)
        self.costs.ask(role, batch.size)
        call: Callable[..., Any] = self.compiled.get(role, model)
        commit = (self.training or role not in self.learners) if commit is None else commit
        if params is not None or not commit:
            cloned = {name: b.clone() for name, b in model.named_buffers()} | dict(buffers or {})
            substituted = {**(params or {}), **cloned}

            def call(*args: Any, **kwargs: Any) -> Any:
                return functional_call(model, substituted, args, kwargs)

        try:
            return self._recorded(role, call, batch, view)
        except Overwritten:  # only ever while probing: see FeatureRecorder
            return self._recorded(role, call, batch, view)

    def _recorded(self, role: str, call: Callable[..., Any], batch: Batch, view: str) -> Output:
        if role not in self.taps or not self.taps[role].paths:
            with self.precision.autocast(), hook_of(self._path(role), "forward"):
                return full_rows(self._output(self.task.forward(call, batch, view)))
        with self.precision.autocast(), self.taps[role].recording() as features, hook_of(self._path(role), "forward"):
            output = self._output(self.task.forward(call, batch, view))
        return full_rows(replace(output, features={**output.features, **features}))

    def _path(self, role: str) -> str:
        """Where a model stands in the recipe."""
        return f"teachers.{role}" if role in self.teachers else role if role == self.first else f"learners.{role}"

    def _output(self, output: Output) -> Output:
        return output if isinstance(output, Output) else returned(output, Output, "task", "forward")

    def answer(
        self,
        name: str,
        batch: Batch,
        *,
        view: str = MAIN,
        student: Output | None = None,
        peers: Mapping[str, Output] | None = None,
        grad: bool = False,
    ) -> Output:
        """A teacher's answer. A frozen one is asked once for a micro-batch; another one each time, with a graph if `grad`."""
        known = batch.answers.get(name, {})
        key = (name, view, self.stage, batch.epoch, batch.number, batch.part)
        if view in known:
            self.costs.borrow(key, batch.size, self.source.price(name, view))
            return known[view]
        teacher = self.teachers[name]
        answering = self.source.answering(name, view, batch, self.costs) if teacher.frozen else nullcontext()
        graph = grad and teacher.trains and torch.is_grad_enabled()
        with hook_of(f"teachers.{name}", "answer"), answering, torch.set_grad_enabled(graph):
            output = teacher.answer(batch, self, view, student=None if teacher.frozen else student, peers=peers or {})
        if not isinstance(output, Output):
            returned(output, Output, f"teachers.{name}", "answer")
        output = output if grad else output.detach()
        if teacher.frozen:
            batch.answers.setdefault(name, {})[view] = output
            self.costs.paid(key)
        return output

    def peers(self, batch: Batch, learner: str, view: str = MAIN) -> dict[str, Output]:
        """The other learners' answers, without gradients and leaving no trace."""
        others = [name for name in self.learners if name != learner]
        with torch.no_grad():
            return {name: self.forward(name, batch, view=view, commit=False).detach() for name in others}

    def step(
        self,
        batch: Batch,
        *,
        learner: str = "student",
        params: Parameters | None = None,
        teacher_grad: bool = False,
        student: Output | Mapping[str, Output] | None = None,
        peers: Mapping[str, Output] | None = None,
        view: str = MAIN,
    ) -> Step:
        """The forwards of one learner on one micro-batch, with all teachers' answers.

        `student` is the learner's answer, or its answers by view, where they are known already.
        """
        known = {view: student} if isinstance(student, Output) else student or {}
        if view in known:
            student = known[view]
        else:
            prefix = f"{learner}."
            own = None if params is None else {n.removeprefix(prefix): p for n, p in params.items() if n.startswith(prefix)}
            student = self.forward(learner, batch, own, view=view)
        if peers is None:
            peers = self.peers(batch, learner, view)
        seen = student.detach() if any(not teacher.frozen for teacher in self.teachers.values()) else None
        teachers = {
            name: self.answer(name, batch, view=view, student=seen, peers=peers, grad=teacher_grad) for name in self.teachers
        }
        views = {
            other: self.step(batch, learner=learner, params=params, teacher_grad=teacher_grad, student=known, view=other)
            for other in (sorted(self.needs.views) if view == MAIN else ())
        }
        return Step(
            batch=batch,
            learner=learner,
            student=student,
            teachers=teachers,
            peers=peers,
            progress=self.progress,
            stage=self.stage,
            streams=self.streams,
            supervise=self.task.supervised,
            samples=batch.index,
            views=views,
        )

    def view(self, step: Step, method: Method) -> Step:
        """What one method may see of a step; over all processes if it relates the samples of a whole batch."""
        needs = self.own_needs[method.label]
        seen = method_view.view(step, method, needs, self.tap_keys)
        return method_view.joined(seen, self.processes.gather) if needs.whole_batch and self.processes.size > 1 else seen

    # -- the loss ----------------------------------------------------------------------------------------------------

    def total(
        self, step: Step, weights: Weights | None = None, method_params: Parameters | None = None, *, commit: bool = True
    ) -> Tensor:
        """The weighted sum of all active terms on a step; each value is left in `step.stash[ENGINE]`.

        Args:
            weights: label -> term -> weight; default the weights that hold now, for a step that stands alone.
            method_params: `methods.<label>.<name>` -> tensor, standing in for the methods' own parameters.
            commit: False evaluates on cloned buffers, so that running statistics of adapters stay (law 1).
        """
        weights = self.weights(step.batch) if weights is None else weights
        total = torch.zeros((), device=step.student.rows.device)
        values: dict[str, Tensor] = step.stash.setdefault(ENGINE, {})
        for label, method in self.methods.items():
            own = weights.get(label, {})
            active = [name for name, weight in own.items() if weight or f"methods.{label}.weights.{name}" in self.scheduled]
            if not active:
                continue
            with self.precision.autocast(), hook_of(f"methods.{label}", "a term"):
                terms = self._terms(method, self.view(step, method), active, method_params, commit)
            for name, value in terms.items():
                total = total + own[name] * value
                values[f"{label}.{name}"] = value.detach()
        return total

    def _terms(
        self, method: Method, step: Step, active: Sequence[str], params: Parameters | None, commit: bool
    ) -> dict[str, Tensor]:
        if params is None and commit:
            return method(step, active)  # type: ignore[no-any-return]
        prefix = f"methods.{method.label}."
        own = {name.removeprefix(prefix): p for name, p in (params or {}).items() if name.startswith(prefix)}
        own |= {name: b.clone() for name, b in method.named_buffers()}
        return functional_call(method, own, (step, active))  # type: ignore[no-any-return]

    def objective(
        self,
        batch: Batch,
        *,
        learner: str = "student",
        student_params: Parameters | None = None,
        teacher_grad: bool = False,
        weights: Weights | None = None,
    ) -> tuple[Tensor, Step]:
        """Forward and total in one: the loss that training minimizes, and the step behind it.

        With `student_params` (`student.*` and `methods.<label>.*`, see `trainable`) nothing is committed: buffers are cloned.
        With `teacher_grad` the graph reaches the trainable teachers' parameters.
        """
        step = self.step(batch, learner=learner, params=student_params, teacher_grad=teacher_grad)
        return self.total(step, weights, student_params, commit=student_params is None), step

    # -- micro-batches -----------------------------------------------------------------------------------------------

    def micros(self, batch: Batch) -> tuple[Batch, ...]:
        """The micro-batches of an optimizer step, numbered."""
        return self.source.micros(batch)

    def counts(self, micros: Sequence[Batch]) -> Counts:
        """What losses average over, by name, in all micro-batches and processes of an optimizer step."""
        return counts_over(self.task, micros, self.processes)

    def share(self, micro: Batch, counts: Counts, over: str) -> float:
        """A micro-batch's share of a denominator of the optimizer step; 0 where the step has nothing of it."""
        whole = counts[over]
        return counts_of(self.task, micro)[over] / whole if whole else 0.0

    def shares(self, micro: Batch, counts: Counts | None = None) -> Weights:
        """Label -> term -> the micro-batch's share of the term's denominator; terms with nothing to average are missing."""
        own = counts_of(self.task, micro)
        return shares(self.methods, self.own_needs, own, own if counts is None else counts, self.processes.size)

    def weights(self, micro: Batch | None = None, counts: Counts | None = None) -> Weights:
        """The weights that hold now; for a micro-batch, times its share of the optimizer step's denominators.

        Args:
            counts: denominators of the step over all micro-batches and processes; None for a micro-batch that stands alone.
        """
        return self.weights_now if micro is None else self.weighted(self.shares(micro, counts))

    def weighted(self, shares: Weights) -> Weights:
        """The weights that hold now, times a micro-batch's shares."""
        now = self.weights_now
        return {
            label: {name: now[label][name] * share for name, share in own.items() if name in now[label]}
            for label, own in shares.items()
        }

    # -- moving ------------------------------------------------------------------------------------------------------

    def backward(self, step: Step, weights: Weights) -> None:
        """Add the gradient of a learner's total to those at hand; in parts, if its optimizer wants that."""
        groups = self.gradient_groups.get(step.learner)
        if groups is not None:
            groups.backward(self, step, weights)
            return
        total = self.total(step, weights)
        if total.requires_grad:
            self.precision.scaled(total).backward()  # type: ignore[no-untyped-call]

    def optimize(self, role: str, loss: Tensor | None = None, *, clip: float | None = None) -> bool:
        """Step the optimizer of a learner or trainable teacher on the gradients at hand (after `loss.backward()`, if given).

        Sums gradients over processes, clips them, and clears them. False if fp16 overflowed.

        Args:
            clip: the largest norm; default `train.clip`. Where there is one, `norms[role]` is the norm before clipping, so
                that `inf` only measures.
        """
        if loss is not None:
            self.precision.scaled(loss).backward()  # type: ignore[no-untyped-call]
        optimizer = self.optimizers[role]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        groups = self.gradient_groups.get(role)
        if groups is None:
            self.processes.reduce_gradients(parameters)
        else:
            groups.reduce(self.processes)
        clip = self.settings["train"]["clip"] if clip is None else clip
        if clip is not None:
            self.precision.unscale(optimizer)
            self.norms[role] = nn.utils.clip_grad_norm_(parameters, clip)
        if groups is not None:
            groups.follow(self.precision.scale, None if clip is None else (self.norms[role], clip))
        with hook_of(f"optimizers.{role}", "step"):
            stepped = self.precision.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        if groups is not None:
            groups.clear()
        return stepped

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor over all processes, concatenated along its first dimension; differentiable."""
        return self.processes.gather(tensor)

    def note(self, **values: float | Tensor) -> None:
        """Numbers a method wants in the log of this epoch (a meta-gradient's norm, a temperature); tensors are read then."""
        self.notes |= values

    def deployed(self) -> nn.Module:
        """The module to evaluate and export: what a method's `deploy` gives, else the student."""
        for method in self.methods.values():
            if overrides(method, "deploy"):
                with hook_of(f"methods.{method.label}", "deploy"):
                    module = method.deploy(self)
                if module is not None:
                    return returned(module, nn.Module, f"methods.{method.label}", "deploy")
        return self.student
