"""A cached teacher: frozen, and asked once for each training sample, whatever the number of epochs, runs and seeds.

Its logits, and the features that methods tap, are kept on disk by the sample's number in the data, never by its place in a
batch or an epoch; so shuffling cannot mix them up. Where batches are padded, features of single positions are kept without
padding. The folder's name is a fingerprint of the teacher's code and weights, of the data, the preprocessing and the number
format. A task whose inputs change from epoch to epoch (augmentation) is refused.

Differences to a live teacher: answers are computed in evaluation batches, so they differ by rounding; features are 0 at
padding; and samples that are not training samples (the test) are asked live.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch

from kdzoo import digests
from kdzoo.engine.apart import apart
from kdzoo.engine.evaluate import Evaluation
from kdzoo.engine.files import locked, replace_file
from kdzoo.engine.needs_check import check_kept
from kdzoo.errors import CapabilityError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.outputs import MAIN, Batch, Output, Rows
from kdzoo.protocol.roles import Existing, RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.recipe.hashing import content
from kdzoo.teachers.answer_store import Answers, Store
from kdzoo.teachers.frozen import Frozen

T = TypeVar("T")
LOGITS = "logits"


class Cached(Frozen):
    """A frozen teacher whose answers are kept on disk.

    Args:
        model, checkpoint, recipe, weights: as for `frozen`.
        folder: of the answers; by default `cache` in `runtime.out`, a folder for each fingerprint. One that is named must fit.
    """

    keeps = True

    def __init__(
        self,
        *,
        model: Model | None = None,
        checkpoint: Existing | None = None,
        recipe: RecipeRef | None = None,
        weights: Literal["last", "best"] = "last",
        folder: str | None = None,
    ) -> None:
        super().__init__(model=model, checkpoint=checkpoint, recipe=recipe, weights=weights)
        self.folder = folder
        self.answers: dict[str, Answers] = {}
        self.known = 0
        self.model_is = ""

    def build(self, run: RunContext) -> None:
        super().build(run)
        assert self.model is not None
        self.model_is = json.dumps(content(self.model))  # before anybody listens to it
        check_kept({self.name: self}, run.task.changing)
        if not run.task.fixed_inputs or not run.task.pool():
            raise CapabilityError(
                f"teachers.{self.name} keeps its answers, but this task's samples have no numbers, or their inputs change from "
                "epoch to epoch; use teacher.use=frozen."
            )

    def answer(
        self, batch: Batch, run: RunContext, view: str, *, student: Output | None, peers: Mapping[str, Output]
    ) -> Output:
        numbers = run.task.numbers(batch) if view == MAIN else None
        if numbers is None:
            return super().answer(batch, run, view, student=student, peers=peers)
        assert self.model is not None
        if self.known != id(run):  # another run on the same teacher may tap more
            self.answers, self.known = self.fill(run), id(run)
        positions = run.task.positions(batch, self.model)
        found = {kind: own.of(numbers, positions, run.device) for kind, own in self.answers.items()}
        return Output(Rows(found.pop(LOGITS), batch.target), found)

    @apart()
    def fill(self, run: RunContext) -> dict[str, Answers]:
        """Ask the teacher about all training samples that it has not been asked about; its answers by kind."""
        store = self.store(run)
        kinds = self._kinds(run)
        with locked(store.folder):
            store.check()
            if any(kinds.values()) and store.starts is None:
                self._count(run, store)
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

    def _kinds(self, run: RunContext) -> dict[str, bool]:
        """Logits, and the taps of methods that listen to this teacher; whether they have a row for each position."""
        assert self.model is not None
        with torch.no_grad():
            batch = run.task.example()
            features = run.forward(self.name, batch).features
        positions = run.task.positions(batch, self.model)
        if positions is None:
            return {LOGITS: False} | dict.fromkeys(features, False)
        strange = [
            f"{name} {tuple(value.shape)}"
            for name, value in features.items()
            if value.ndim != 2 and (value.ndim != 3 or value.shape[:2] != positions.shape)
        ]
        if strange:
            raise CapabilityError(
                f"teachers.{self.name} keeps logits, vectors, and vectors of single positions, but a method taps "
                f"{', '.join(strange[:3])} of {len(batch.target)} samples; use teacher.use=frozen, or other taps."
            )
        return {LOGITS: False} | {name: value.ndim == 3 for name, value in features.items()}

    def _count(self, run: RunContext, store: Store) -> None:
        """Find out how many positions each sample has."""
        assert self.model is not None
        order = torch.arange(store.samples).split(run.task.evaluation_batch)
        own = [run.task.positions(batch, self.model) for batch in run.task.pooled(order)]
        store.count(torch.cat([positions.sum(1).cpu() for positions in own if positions is not None]))

    def _ask(self, run: RunContext, store: Store, kinds: Mapping[str, bool]) -> None:
        """Go on where the store ends."""
        assert self.model is not None
        step = run.task.evaluation_batch
        order = torch.arange(store.samples).split(step)
        start = min(store.filled(kind) for kind in kinds) // step
        place = start * step
        for batch in run.task.pooled(order[start:]):
            with torch.no_grad():
                output = run.forward(self.name, batch)
            positions = run.task.positions(batch, self.model)
            answers = {LOGITS: output.rows.logits, **output.features}
            answers |= {kind: answers[kind][positions] for kind, by_position in kinds.items() if by_position}
            new = {kind: answers[kind] for kind in kinds if store.filled(kind) < place + batch.size}
            store.write(place, batch.size, new, kinds)
            place += batch.size
