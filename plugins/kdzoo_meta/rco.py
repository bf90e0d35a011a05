"""RCO: the student follows the teacher along the way that the teacher took, one stored state after the other.

Jin, Peng, Wu, Liu, Liu, Liang, Yan, Hu, "Knowledge Distillation via Route Constrained Optimization", 2019, arXiv 1904.09149.

A kind of teacher, so any method can learn from it: its weights are those of anchor k while epochs [k E / n, (k + 1) E / n) of E
are trained, for n anchors. Anchors are weights files, or the checkpoints that a run of the teacher left
(`runs/.../checkpoints/*/weights.safetensors`, with `runtime.keep` large enough).

Verified (abstract): anchors from the teacher's own route stand in for the converged teacher. A reading: equal shares of the
epochs, and a student that goes on from anchor to anchor without a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from kdzoo.errors import RecipeError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import Batch, Output
from kdzoo.protocol.roles import Existing
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo.weights import read_weights
from kdzoo_meta.gradients.vectors import below


class RCO(Teacher):
    """Args:
    model: the teacher's architecture.
    anchors: weights files in the order of its training; the last is usually the trained teacher.
    """

    frozen = False

    def __init__(self, *, model: Model, anchors: Sequence[Existing]) -> None:
        super().__init__()
        if not anchors:
            raise ValueError("anchors must name at least one weights file")
        self.spec, self.anchors = model, tuple(anchors)
        self.states: list[Mapping[str, Tensor]] = []
        self.current = -1

    def build(self, run: RunContext) -> None:
        assert self.spec is not None  # as the constructor has it
        self.model = run.task.build_teacher(self.spec)
        for number, path in enumerate(self.anchors):
            self.states.append(self._read(Path(path).expanduser(), f"teachers.{self.name}.anchors[{number}]"))
        self._become(0)

    def _read(self, path: Path, where: str) -> Mapping[str, Tensor]:
        """A weights file's tensors; of a checkpoint's, those of its student."""
        assert self.model is not None
        state = read_weights(path, where)
        state = below(state, "student.") or state
        expected = {name: t.shape for name, t in self.model.state_dict().items()}
        if {name: t.shape for name, t in state.items()} != expected:
            raise RecipeError(f"{where}: {path} does not fit the model; it was saved from another architecture.")
        return state

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        self._become(min(len(self.states) * run.progress.epoch // run.progress.epochs, len(self.states) - 1))
        return run.forward(self.name, batch, view=view)

    @torch.no_grad()
    def _become(self, number: int) -> None:
        if number != self.current:
            assert self.model is not None
            self.model.load_state_dict(self.states[number])
            self.current = number
