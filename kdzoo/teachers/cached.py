"""A cached teacher: frozen, and asked once for each training sample, whatever the number of epochs, runs and seeds.

Its logits, and the vectors that methods tap, are kept on disk by the sample's number in the data, never by its place in a batch
or an epoch; so shuffling cannot mix them up. The folder's name is a fingerprint of the teacher's code and weights, of the data,
the preprocessing and the number format. A task whose inputs change from epoch to epoch (augmentation) is refused.

Differences to a live teacher: answers are computed in evaluation batches, so they differ by rounding, and samples that are not
training samples (the test) are asked live.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from kdzoo import digests
from kdzoo.engine.evaluate import Evaluation
from kdzoo.engine.files import locked, replace_file
from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import MAIN, Batch, Output, Rows
from kdzoo.protocol.roles import RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.recipe.hashing import content
from kdzoo.teachers.answer_store import Store, taken
from kdzoo.teachers.frozen import Frozen

T = TypeVar("T")
LOGITS = "logits"


class Cached(Frozen):
    """A frozen teacher whose answers are kept on disk.

    Args:
        model, checkpoint, recipe, weights: as for `frozen`.
        folder: of the answers; by default `cache` in `runtime.out`, a folder for each fingerprint. One that is named must fit.
    """

    def __init__(
        self,
        *,
        model: Model | None = None,
        checkpoint: str | None = None,
        recipe: RecipeRef | None = None,
        weights: Literal["last", "best"] = "last",
        folder: str | None = None,
    ) -> None:
        super().__init__(model=model, checkpoint=checkpoint, recipe=recipe, weights=weights)
        self.folder = folder
        self.arrays: dict[str, NDArray[np.float32]] = {}
        self.known = 0
        self.model_is = ""

    def build(self, run: RunContext) -> None:
        super().build(run)
        assert self.model is not None
        self.model_is = json.dumps(content(self.model), default=str)  # before anybody listens to it
        if not run.task.fixed_inputs or not run.task.pool():
            raise CapabilityError(
                f"teachers.{self.name} keeps its answers, but the inputs of this task change from epoch to epoch or have no "
                "numbers; use teacher.use=frozen."
            )

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        numbers = run.task.numbers(batch) if view == MAIN else None
        if numbers is None:
            return super().answer(batch, run, view, student=student, peers=peers)
        if self.known != id(run):  # another run on the same teacher may tap more
            self.arrays, self.known = self.fill(run), id(run)
        found = {kind: taken(array, numbers, run.device) for kind, array in self.arrays.items()}
        return Output(Rows(found.pop(LOGITS), batch.target), found)

    def fill(self, run: RunContext) -> dict[str, NDArray[np.float32]]:
        """Ask the teacher about all training samples that it has not been asked about; its answers by kind, (N, d) each."""
        store = self.store(run)
        kinds = self._kinds(run)
        with locked(store.folder):
            store.check()
            if not store.complete(kinds):
                self._ask(run, store, kinds)
        return store.read(kinds)

    def evaluated(self, run: RunContext, split: str, evaluate: Callable[[], T]) -> T:
        """Done once for all runs with the same task settings."""
        store = self.store(run)
        task = json.dumps(run.settings["task"], sort_keys=True, default=str)
        file = store.folder / f"{split}-{digests.of_text(task)[: digests.SHORT]}.pt"
        with locked(store.folder):
            store.check()
            if file.is_file():
                found = torch.load(file, weights_only=True)
                return cast(T, Evaluation(found["metrics"], found["arrays"]))
            done = evaluate()
            if isinstance(done, Evaluation):
                replace_file(file, lambda beside: torch.save({"metrics": done.metrics, "arrays": done.arrays}, beside))
            return done

    def store(self, run: RunContext) -> Store:
        """Where the answers are."""
        fingerprint = self.fingerprint(run)
        folder = self.folder or Path(run.settings["runtime"]["out"]) / "cache" / fingerprint
        return Store(Path(folder), fingerprint, run.task.pool())

    def fingerprint(self, run: RunContext) -> str:
        """16 hexadecimal digits of the model and its weights, the data, the preprocessing and the number format."""
        parts = [
            self.model_is,
            str(run.task.facts().get("fingerprint")),
            str(run.task.preprocessing()),
            str(run.settings["train"]["precision"]),
        ]
        return digests.of_text(" ".join(parts))[: digests.SHORT]

    def _kinds(self, run: RunContext) -> Sequence[str]:
        """Logits, and the taps of methods that listen to this teacher; refuses those that are no vectors."""
        with torch.no_grad():
            example = run.forward(self.name, run.task.example())
        maps = [f"{name} {tuple(value.shape[1:])}" for name, value in example.features.items() if value.ndim != 2]
        if maps:
            raise CapabilityError(
                f"teachers.{self.name} keeps logits and vectors, but a method taps {', '.join(maps[:3])}; use "
                "teacher.use=frozen, or taps that are vectors."
            )
        return [LOGITS, *example.features]

    def _ask(self, run: RunContext, store: Store, kinds: Sequence[str]) -> None:
        order = torch.arange(store.samples).split(run.task.evaluation_batch)
        start = min(store.filled(kind) for kind in kinds) // run.task.evaluation_batch
        place = start * run.task.evaluation_batch
        for batch in run.task.pooled(order[start:]):
            with torch.no_grad():
                output = run.forward(self.name, batch)
            answers = {LOGITS: output.rows.logits, **output.features}
            new = {kind: answers[kind] for kind in kinds if store.filled(kind) < place + batch.size}
            store.write(place, new)
            place += batch.size
