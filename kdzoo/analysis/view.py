"""What one analysis sees of a measured run: what it declared, and no more."""

from __future__ import annotations

from torch import Tensor

from kdzoo.analysis.measure import STUDENT, TEACHER, Measurement, Recorded, Recording
from kdzoo.protocol.analysis import Answers, Measured, MeasuredModel, Wants


def view(measurement: Measurement, wants: Wants, name: str) -> Measured:
    """One run, as an analysis with these wants sees it under this name."""
    teacher = measurement.roles.get(TEACHER) if wants.teacher else None
    return Measured(
        name=name,
        folder=measurement.found.folder,
        settings=measurement.found.settings,
        student=_model(measurement.roles[STUDENT], wants),
        teacher=None if teacher is None else _model(teacher, wants),
        epochs={epoch: _model(each, wants) for epoch, each in measurement.epochs.items()} if wants.epochs else {},
        trained=measurement.trained,
        class_names=measurement.class_names,
    )


def _model(recording: Recording, wants: Wants) -> MeasuredModel:
    taps = [tap for spec in wants.taps for tap in recording.taps[spec]]
    return MeasuredModel(
        splits={split: _answers(recording.splits[split], taps, wants) for split in wants.splits},
        classifier=recording.classifier if wants.classifier else None,
        module=recording.module if wants.module else None,
    )


def _answers(recorded: Recorded, taps: list[str], wants: Wants) -> Answers:
    most = len(recorded.rank) if wants.samples is None else wants.samples
    first = recorded.rank < most if wants.samples is not None else recorded.rank >= 0
    return Answers(
        index=recorded.index[first],
        logits=recorded.logits[first],
        target=recorded.target[first] if isinstance(recorded.target, Tensor) else recorded.target,
        features={tap: recorded.features[tap][first[recorded.rank < recorded.limits[tap]]] for tap in dict.fromkeys(taps)},
        drawn=recorded.drawn[first, : wants.draws] if wants.draws and recorded.drawn is not None else None,
    )
