"""A run: everything that is alive in one training, and its two pure halves, `forward` and `total`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.engine.distributed import World
from kdzoo.engine.precision import Precision, full_rows
from kdzoo.engine.taps import Overwritten, Taps
from kdzoo.method import Method, Needs, overrides
from kdzoo.outputs import ENGINE, MAIN, Batch, Output, Progress, Step, map_tensors
from kdzoo.protocols import Optimizer, Task, Teacher
from kdzoo.random import Streams

Parameters = Mapping[str, Tensor]
Weights = Mapping[str, Mapping[str, float]]


class Rates(dict[str, float]):
    """The numbers of an optimizer that a schedule may move; writing one changes every parameter group."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        group = optimizer.param_groups[0]
        super().__init__({k: v for k, v in group.items() if isinstance(v, int | float) and not isinstance(v, bool)})
        self.optimizer = optimizer

    def __setitem__(self, name: str, value: float) -> None:
        super().__setitem__(name, value)
        for group in self.optimizer.param_groups:
            group[name] = value


@dataclass
class Run:
    """Everything alive in one training. Methods get it in every hook; what they may use has a docstring."""

    settings: Mapping[str, Any]
    task: Task
    needs: Needs
    own_needs: Mapping[str, Needs]
    streams: Streams
    device: torch.device
    precision: Precision
    world: World
    learners: dict[str, nn.Module] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    methods: dict[str, Method] = field(default_factory=dict)
    makers: dict[str, Optimizer] = field(default_factory=dict)
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    rates: dict[str, Rates] = field(default_factory=dict)
    weights_now: dict[str, dict[str, float]] = field(default_factory=dict)
    scheduled: frozenset[str] = frozenset()
    stage: str = "main"
    progress: Progress = field(default_factory=lambda: Progress(0, 1, 0, 1))
    taps: dict[str, Taps] = field(default_factory=dict)
    tap_keys: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    feature_shapes: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    compiled: dict[str, Callable[..., Any]] = field(default_factory=dict)
    notes: dict[str, float] = field(default_factory=dict)
    norms: dict[str, Tensor] = field(default_factory=dict)
    # (learner, batch, part) -> its answers by view on the coming step, if `update_teacher` has computed them, graph included
    ahead: dict[tuple[str, int, int], Mapping[str, Output]] = field(default_factory=dict)

    # -- who is there ------------------------------------------------------------------------------------------------

    @property
    def student(self) -> nn.Module:
        """The first learner: the one that is deployed unless a method says otherwise."""
        return next(iter(self.learners.values()))

    @property
    def first(self) -> str:
        """Name of the first learner."""
        return next(iter(self.learners))

    @property
    def samples(self) -> int:
        """Samples in the training split (the range of sample indices)."""
        return self.task.size("train")

    def model(self, role: str) -> nn.Module:
        """The module behind a learner's or teacher's name."""
        if role in self.learners:
            return self.learners[role]
        model = self.teachers[role].model
        if model is None:
            raise KeyError(f"teacher {role!r} has no model")
        return model

    @property
    def classes(self) -> int:
        """Width of the student's logits."""
        return self.widths[self.first]

    def shapes(self, method: Method, role: str = "student") -> dict[str, tuple[int, ...]]:
        """Shape without the batch dimension of each tap that `method` declared on a learner or teacher."""
        keys = self.tap_keys[method.label, self.teacher_of(method) if role == "teacher" else role]
        return {
            key: self.feature_shapes[self.teacher_of(method) if role == "teacher" else role][spec] for key, spec in keys.items()
        }

    def teacher_of(self, method: Method) -> str:
        """Name of the method's teacher: its `teacher` setting or the only one."""
        return method.teacher or next(iter(self.teachers))

    def trainable(self, learner: str | None = None) -> dict[str, nn.Parameter]:
        """What a learner's optimizer may train, by name; the first learner's includes `methods.<label>.*`."""
        learner = learner or self.first
        named = {f"{learner}.{name}": p for name, p in self.learners[learner].named_parameters()}
        if self.learners[learner] is self.student:
            for label, method in self.methods.items():
                named |= {f"methods.{label}.{name}": p for name, p in method.named_parameters()}
        return {name: p for name, p in named.items() if p.requires_grad}

    # -- the two halves ----------------------------------------------------------------------------------------------

    def forward(
        self,
        role: str,
        batch: Batch,
        params: Parameters | None = None,
        buffers: Parameters | None = None,
        *,
        view: str = MAIN,
        commit: bool = True,
    ) -> Output:
        """A model's answer on one view of a batch, with its taps.

        Args:
            params, buffers: stand in for the model's own, by name. With `params`, missing buffers are cloned.
            commit: False leaves BatchNorm statistics as they are (a second look at a batch).
        """
        model = self.model(role)
        call: Callable[..., Any] = self.compiled.get(role, model)
        if params is not None or not commit:
            cloned = {name: b.clone() for name, b in model.named_buffers()} | dict(buffers or {})
            substituted = {**(params or {}), **cloned}

            def call(*args: Any, **kwargs: Any) -> Any:
                return functional_call(model, substituted, args, kwargs)

        try:
            return self._recorded(role, call, batch, view)
        except Overwritten:  # only ever while probing: see Taps
            return self._recorded(role, call, batch, view)

    def _recorded(self, role: str, call: Callable[..., Any], batch: Batch, view: str) -> Output:
        if role not in self.taps or not self.taps[role].paths:
            with self.precision.autocast():
                return full_rows(self.task.forward(call, batch, view))
        with self.precision.autocast(), self.taps[role].recording() as features:
            output = self.task.forward(call, batch, view)
        return full_rows(replace(output, features={**output.features, **features}))

    def total(
        self, step: Step, weights: Weights | None = None, method_params: Parameters | None = None, *, commit: bool = True
    ) -> Tensor:
        """The weighted sum of all active terms on a step; each value is left in `step.stash[ENGINE]`.

        Args:
            weights: label -> term -> weight; default the weights that hold now.
            method_params: `methods.<label>.<name>` -> tensor, standing in for the methods' own parameters.
            commit: False evaluates on cloned buffers, so that running statistics of adapters stay (law 1).
        """
        total = step.student.rows.logits.new_zeros(())
        values: dict[str, Tensor] = step.stash.setdefault(ENGINE, {})
        for label, method in self.methods.items():
            own = self.weights_now[label] if weights is None else weights.get(label, {})
            active = [name for name, weight in own.items() if weight or f"methods.{label}.weights.{name}" in self.scheduled]
            if not active:
                continue
            with self.precision.autocast():
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

    # -- steps -------------------------------------------------------------------------------------------------------

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
            own = (
                None
                if params is None
                else {n.removeprefix(f"{learner}."): p for n, p in params.items() if n.startswith(f"{learner}.")}
            )
            student = self.forward(learner, batch, own, view=view)
        if peers is None:
            peers = self.peers(batch, learner, view)
        return Step(
            batch=batch,
            learner=learner,
            student=student,
            teachers={name: self.answer(name, batch, view=view, peers=peers, grad=teacher_grad) for name in self.teachers},
            peers=peers,
            progress=self.progress,
            stage=self.stage,
            streams=self.streams,
            supervise=self.task.supervised,
            samples=batch.index,
            views={
                v: self.step(batch, learner=learner, params=params, teacher_grad=teacher_grad, student=known, view=v)
                for v in sorted(self.needs.views)
            }
            if view == MAIN
            else {},
        )

    def peers(self, batch: Batch, learner: str, view: str = MAIN) -> dict[str, Output]:
        """The other learners' answers, without gradients and leaving no trace."""
        others = [name for name in self.learners if name != learner]
        with torch.no_grad():
            return {name: self.forward(name, batch, view=view, commit=False).detach() for name in others}

    def answer(
        self, name: str, batch: Batch, *, view: str = MAIN, peers: Mapping[str, Output] | None = None, grad: bool = False
    ) -> Output:
        """A teacher's answer: the feed's, if it is frozen; else computed, with a graph only if `grad`."""
        if view in batch.answers.get(name, {}):
            return batch.answers[name][view]
        teacher = self.teachers[name]
        with torch.set_grad_enabled(grad and teacher.trains and torch.is_grad_enabled()):
            output = teacher.answer(batch, self, view, peers or {})
        return output if grad else output.detach()

    def view(self, step: Step, method: Method) -> Step:
        """What one method may see of a step: its declared taps, its teacher, its peers; over all processes if it needs that."""
        needs, label = self.own_needs[method.label], method.label
        names = [method.teacher] if method.teacher else list(step.teachers)
        teachers = {n: self._declared(step.teachers[n], label, n) for n in names} if needs.teacher else {}
        seen = replace(
            step,
            batch=step.batch if needs.index else replace(step.batch, index=None),
            student=self._declared(step.student, label, step.learner),
            teachers=teachers,
            peers={n: self._declared(p, label, n) for n, p in step.peers.items()} if needs.learners > 1 else {},
            views={n: self.view(v, method) for n, v in step.views.items() if n in needs.views},
            label=label,
            stash=step.stash.setdefault(label, {}),
            _cache={},
        )
        return self._joined(seen) if needs.whole_batch and self.world.size > 1 else seen

    def _declared(self, output: Output, label: str, role: str) -> Output:
        keys = self.tap_keys.get((label, role), {})
        if not keys and not output.features:
            return output
        return replace(output, features={key: output.features[spec] for key, spec in keys.items() if spec in output.features})

    def _joined(self, step: Step) -> Step:
        """The step over the joined batch of all processes (see `weights`: such a term counts 1/processes in each)."""
        join = self.world.gather
        return replace(
            step,
            batch=map_tensors(join, replace(step.batch, answers={})),
            samples=None if step.samples is None else join(step.samples),
            student=map_tensors(join, step.student),
            teachers=map_tensors(join, dict(step.teachers)),
            peers=map_tensors(join, dict(step.peers)),
        )

    # -- numbers -----------------------------------------------------------------------------------------------------

    def weights(self, micro: Batch | None = None, *, rows: float = 0.0) -> Weights:
        """The weights that hold now; for a micro-batch, times its share of the optimizer step's denominator.

        Args:
            micro: the micro-batch; its `whole` is the number of samples of the step over all processes.
            rows: rows of the step over all processes, where rows are not samples.
        """
        if micro is None or (micro.size == micro.whole and self.world.size == 1):
            return self.weights_now
        shares = {"samples": micro.size / micro.whole}
        own = self.task.rows(micro)
        shares["rows"] = shares["samples"] if own is None else own / rows
        return {
            label: {n: w * self._share(label, n, shares) for n, w in terms.items()} for label, terms in self.weights_now.items()
        }

    def _share(self, label: str, name: str, shares: Mapping[str, float]) -> float:
        method = self.methods[label]
        return 1.0 / self.world.size if self.own_needs[label].whole_batch else shares[method.kdzoo_terms[name].over]

    def micros(self, batch: Batch) -> list[Batch]:
        """The micro-batches of an optimizer step, numbered."""
        parts = self.task.split(batch, self.settings["train"]["accumulate"])
        return [replace(micro, part=part) for part, micro in enumerate(parts)]

    # -- moving ------------------------------------------------------------------------------------------------------

    def rows(self, micros: Sequence[Batch]) -> float:
        """Rows of an optimizer step over all its micro-batches and processes; 0 for a task whose rows are its samples."""
        known = [count for count in map(self.task.rows, micros) if count is not None]
        return self.world.total(sum(known)) if known else 0.0

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
        self.world.reduce_gradients(parameters)
        clip = self.settings["train"]["clip"] if clip is None else clip
        if clip is not None:
            self.precision.unscale(optimizer)
            self.norms[role] = nn.utils.clip_grad_norm_(parameters, clip)
        stepped = self.precision.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        return stepped

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor over all processes, concatenated along its first dimension; differentiable."""
        return self.world.gather(tensor)

    def note(self, **values: float) -> None:
        """Numbers a method wants in the log of this epoch (a meta-gradient's norm, a temperature)."""
        self.notes |= values

    # -- the result --------------------------------------------------------------------------------------------------

    def deployed(self) -> nn.Module:
        """The module to evaluate and export: what a method's `deploy` gives, else the student."""
        for method in self.methods.values():
            if overrides(method, "deploy"):
                module = method.deploy(self)
                if module is not None:
                    return module
        return self.student

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
