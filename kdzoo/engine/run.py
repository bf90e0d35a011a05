"""A run: everything alive in one training, its two pure halves, and what moves it.

`alive.py` says who is there, `asking.py` holds `forward` and the step, this file `total`, `objective` and `optimize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.func import functional_call

from kdzoo.engine.alive import Alive, Rates
from kdzoo.engine.asking import Asking, Parameters
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.outputs import ENGINE, Batch, Output, Step, map_tensors

Weights = Mapping[str, Mapping[str, float]]

__all__ = ["Alive", "Parameters", "Rates", "Run", "Weights"]


class Run(Asking):
    """Everything alive in one training. Methods get it in every hook; what they may use has a docstring."""

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
        return self._joined(seen) if needs.whole_batch and self.processes.size > 1 else seen

    def _declared(self, output: Output, label: str, role: str) -> Output:
        keys = self.tap_keys.get((label, role), {})
        if not keys and not output.features:
            return output
        return replace(output, features={key: output.features[spec] for key, spec in keys.items() if spec in output.features})

    def _joined(self, step: Step) -> Step:
        """The step over the joined batch of all processes (see `weights`: such a term counts 1/processes in each)."""
        join = self.processes.gather
        return replace(
            step,
            batch=map_tensors(join, replace(step.batch, answers={})),
            samples=None if step.samples is None else join(step.samples),
            student=map_tensors(join, step.student),
            teachers=map_tensors(join, dict(step.teachers)),
            peers=map_tensors(join, dict(step.peers)),
        )

    def weights(self, micro: Batch | None = None, *, rows: float = 0.0) -> Weights:
        """The weights that hold now; for a micro-batch, times its share of the optimizer step's denominator.

        Args:
            micro: the micro-batch; its `whole` is the number of samples of the step over all processes.
            rows: rows of the step over all processes, where rows are not samples.
        """
        if micro is None or (micro.size == micro.whole and self.processes.size == 1):
            return self.weights_now
        shares = {"samples": micro.size / micro.whole}
        own = self.task.rows(micro)
        shares["rows"] = shares["samples"] if own is None else own / rows
        return {
            label: {n: w * self._share(label, n, shares) for n, w in terms.items()} for label, terms in self.weights_now.items()
        }

    def _share(self, label: str, name: str, shares: Mapping[str, float]) -> float:
        method = self.methods[label]
        return 1.0 / self.processes.size if self.own_needs[label].whole_batch else shares[method.kdzoo_terms[name].over]

    def micros(self, batch: Batch) -> list[Batch]:
        """The micro-batches of an optimizer step, numbered."""
        parts = self.task.split(batch, self.settings["train"]["accumulate"])
        return [replace(micro, part=part) for part, micro in enumerate(parts)]

    def rows(self, micros: Sequence[Batch]) -> float:
        """Rows of an optimizer step over all its micro-batches and processes; 0 for a task whose rows are its samples."""
        known = [count for count in map(self.task.rows, micros) if count is not None]
        return self.processes.total(sum(known)) if known else 0.0

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
        stepped = self.precision.step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        if groups is not None:
            groups.clear()
        return stepped

    def gather(self, tensor: Tensor) -> Tensor:
        """A tensor over all processes, concatenated along its first dimension; differentiable."""
        return self.processes.gather(tensor)

    def note(self, **values: float) -> None:
        """Numbers a method wants in the log of this epoch (a meta-gradient's norm, a temperature)."""
        self.notes |= values

    def deployed(self) -> nn.Module:
        """The module to evaluate and export: what a method's `deploy` gives, else the student."""
        for method in self.methods.values():
            if overrides(method, "deploy"):
                module = method.deploy(self)
                if module is not None:
                    return module
        return self.student
