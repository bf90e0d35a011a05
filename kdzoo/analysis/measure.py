"""One pass over each split, and all that the analyses of a command want is kept: the union of their wants, each sample once.

A want for a part of the samples gets the first of a fixed random order of the split, which depends on its size alone, so that
runs on the same data are compared on the same samples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.analysis.rebuild import Finished, epochs, rebuilt
from kdzoo.engine.feature_recorder import FeatureRecorder, Overwritten
from kdzoo.engine.run import Run
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.models.tap_names import classifier_of, expand
from kdzoo.protocol.analysis import TRAIN, Classifier, Wants
from kdzoo.protocol.blame import returned
from kdzoo.protocol.outputs import MAIN, Batch, Output
from kdzoo.random import Streams

STUDENT, TEACHER = "student", "teacher"
Forward = Callable[[Batch], Output]


@dataclass
class Recorded:
    """A model's answers on one split, with each tap's feature for as many samples as anybody wants.

    Attributes:
        rank: (N,), each sample's place in the fixed random order; limits: tap -> how many of that order it is kept for.
    """

    index: Tensor
    rank: Tensor
    logits: Tensor
    target: Any
    features: Mapping[str, Tensor]
    limits: Mapping[str, int]
    drawn: Tensor | None = None


@dataclass
class Recording:
    """A model, measured.

    Attributes:
        taps: what an analysis called a feature -> the names that it stands for on this model.
    """

    splits: dict[str, Recorded] = field(default_factory=dict)
    taps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    classifier: Classifier | None = None
    module: nn.Module | None = None


@dataclass
class Measurement:
    """All that was measured of one run."""

    found: Finished
    roles: dict[str, Recording]
    epochs: dict[int, Recording]
    trained: int
    class_names: Sequence[str]


def measure(found: Finished, wants: Mapping[str, Wants]) -> Measurement:
    """Measure a run for all analyses by name.

    Raises RecipeError, CapabilityError or MissingError where the run cannot be rebuilt or has not what is wanted.
    """
    with rebuilt(found, teacher=any(each.teacher for each in wants.values())) as run, torch.no_grad():
        _check(run, wants, found)
        student = run.deployed().eval()
        roles = _roles(run, student, list(wants.values()), found)
        earlier = [each for each in wants.values() if each.epochs]
        over = {epoch: _recorded(run, module, earlier, found) for epoch, module in epochs(found, run)} if earlier else {}
        return Measurement(found, roles, over, found.epochs, run.task.class_names() or ())


def _check(run: Run, wants: Mapping[str, Wants], found: Finished) -> None:
    for name, each in wants.items():
        missing = sorted(each.capabilities - run.task.capabilities)
        if missing:
            raise CapabilityError(
                f"analyses.{name} needs {', '.join(missing)}, which the task of the run in {found.folder} does not offer "
                f"(it offers {', '.join(sorted(run.task.capabilities))}); choose another analysis."
            )
        for split in each.splits:
            if not run.task.size(split):
                raise CapabilityError(
                    f"analyses.{name} wants the split {split!r}, which is empty in the run in {found.folder}; "
                    f"set analyses.{name}.split to another one, if it has that setting."
                )
        if each.teacher and not run.teachers:
            raise CapabilityError(
                f"analyses.{name} compares a student with its teacher, but the run in {found.folder} has none; "
                "give a run of a recipe with a teacher."
            )


def _roles(run: Run, student: nn.Module, wants: Sequence[Wants], found: Finished) -> dict[str, Recording]:
    """The student, and the teacher on the same samples."""
    roles = {STUDENT: _recorded(run, student, wants, found)}
    theirs = [each for each in wants if each.teacher]
    if not theirs:
        return roles
    name = next(iter(run.teachers))
    teacher = run.teachers[name]

    def answer(batch: Batch) -> Output:
        said = None if teacher.frozen else run.task.forward(student, batch, MAIN)
        return run.answer(name, batch, student=said)

    return roles | {TEACHER: _recorded(run, teacher.model, theirs, found, answer=answer)}


def _recorded(
    run: Run, module: nn.Module | None, wants: Sequence[Wants], found: Finished, *, answer: Forward | None = None
) -> Recording:
    """One model measured. A teacher `answer`s by itself, and may have no module behind it."""
    specs = list(dict.fromkeys(tap for each in wants for tap in each.taps))
    inside = any(each.taps or each.classifier or each.module for each in wants)
    if module is None and inside:
        raise CapabilityError(
            f"the teacher of the run in {found.folder} has no model behind it, so there is nothing to look into."
        )
    recording = Recording()
    if module is not None:
        module.eval()
        with _named(found):
            recording.taps = {spec: expand(module, (spec,)) for spec in specs}
            recorder = FeatureRecorder(module, list(dict.fromkeys(tap for taps in recording.taps.values() for tap in taps)))
            recording.classifier = _classifier(module) if any(each.classifier for each in wants) else None
        recording.module = copy.deepcopy(module).cpu() if any(each.module for each in wants) else None
        model = module
    for split in dict.fromkeys(split for each in wants for split in each.splits):
        own = [each for each in wants if split in each.splits]
        limits = {
            tap: _limit(run, split, [w for w in own if spec in w.taps]) for spec, t in recording.taps.items() for tap in t
        }
        forward = answer or (lambda batch: returned(run.task.forward(model, batch, MAIN), Output, "task", "forward"))
        recording.splits[split] = _pass(run, split, own, forward, None if module is None else recorder, limits, found)
    return recording


def _pass(
    run: Run,
    split: str,
    wants: Sequence[Wants],
    forward: Forward,
    recorder: FeatureRecorder | None,
    limits: Mapping[str, int],
    found: Finished,
) -> Recorded:
    size = run.task.size(split)
    rank = torch.empty(size, dtype=torch.long)
    rank[Streams(0).permutation(size, "analysis", split)] = torch.arange(size)
    index = torch.arange(size)[rank < _limit(run, split, wants)]
    logits: list[Tensor] = []
    targets: list[Tensor] = []
    features: dict[str, list[Tensor]] = {tap: [] for tap in limits}
    for number, batch in enumerate(_batches(run, split, index, epoch=0, train=False)):
        output, recorded = _asked(forward, batch, recorder)
        if len(output.rows.logits) != batch.size:
            raise CapabilityError(
                f"the task of the run in {found.folder} answers with {len(output.rows.logits)} rows for {batch.size} samples; "
                "analyses look at tasks with one row a sample."
            )
        logits.append(output.rows.logits.float().cpu())
        if output.rows.target is not None:  # of the rows, not of the samples: a head may ask something else of them
            targets.append(output.rows.target.cpu())
        ranks = rank[index[number * run.task.evaluation_batch :][: batch.size]]
        for tap, limit in limits.items():
            if tap not in recorded:
                raise CapabilityError(f"the tap {tap!r} is never reached in a forward of the run in {found.folder}.")
            features[tap].append(recorded[tap].float().cpu()[ranks < limit])
    target = torch.cat(targets) if targets else None
    kept = {tap: torch.cat(parts) for tap, parts in features.items()}
    drawn = _drawn(run, wants, index, forward) if split == TRAIN else None
    return Recorded(index, rank[index], torch.cat(logits), target, kept, limits, drawn)


def _asked(forward: Forward, batch: Batch, recorder: FeatureRecorder | None) -> tuple[Output, Mapping[str, Tensor]]:
    if recorder is None or not recorder.paths:
        return forward(batch), {}
    try:
        with recorder.recording() as recorded:
            output = forward(batch)
    except Overwritten:  # the recorder clones that tap from now on
        batch.answers.clear()
        return _asked(forward, batch, recorder)
    return output, recorded


def _drawn(run: Run, wants: Sequence[Wants], index: Tensor, forward: Forward) -> Tensor | None:
    """Logits (N, L, C) under L draws of the training augmentation; a draw is what an epoch of training would see."""
    draws = max(each.draws for each in wants)
    if not draws:
        return None
    seen = [
        torch.cat([forward(batch).rows.logits.float().cpu() for batch in _batches(run, TRAIN, index, epoch=draw, train=True)])
        for draw in range(draws)
    ]
    return torch.stack(seen, 1)


def _batches(run: Run, split: str, index: Tensor, *, epoch: int, train: bool) -> Iterator[Batch]:
    return run.task.batches(split, index.split(run.task.evaluation_batch), epoch=epoch, train=train)


def _limit(run: Run, split: str, wants: Sequence[Wants]) -> int:
    """How many samples the wants ask for together."""
    size = run.task.size(split)
    return max((size if each.samples is None else min(each.samples, size) for each in wants), default=0)


def _classifier(module: nn.Module) -> Classifier:
    layer = classifier_of(module)
    bias = None if layer.bias is None else layer.bias.detach().float().cpu().clone()
    return Classifier(layer.weight.detach().float().cpu().clone(), bias)


@contextmanager
def _named(found: Finished) -> Iterator[None]:
    """Puts the run before what its model lacks."""
    try:
        yield
    except RecipeError as error:
        raise CapabilityError(f"the run in {found.folder}: {error}") from None
