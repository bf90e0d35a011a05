"""Schedules in closed form."""

from __future__ import annotations

import math

import pytest

from kdzoo.protocol.outputs import Progress
from kdzoo.schedules import Constant, Cosine, Linear, Piecewise, Schedule, Steps, Warmup


def at(schedule: Schedule, epoch: int, *, base: float = 1.0, batch: int = 0, epochs: int = 240) -> float:
    return schedule.value(base, Progress(epoch, epochs, batch, 10))


def test_steps_are_the_cifar_protocol() -> None:
    rates = [at(Steps(at=[150, 180, 210]), epoch, base=0.05) for epoch in (0, 149, 150, 180, 239)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.0005, 0.00005])


def test_warmup_counts_epochs_from_one() -> None:
    assert [at(Warmup(until=20), epoch) for epoch in (0, 9, 19, 39)] == pytest.approx([0.05, 0.5, 1.0, 1.0])


def test_cosine_starts_at_the_configured_number_and_ends_at_its_end() -> None:
    schedule = Cosine(end=0.1, until=10)
    assert at(schedule, 0, base=0.9) == pytest.approx(0.9)
    assert at(schedule, 5, base=0.9) == pytest.approx(0.5)
    assert at(schedule, 3, base=0.9) == pytest.approx(0.1 + 0.8 * (1 + math.cos(math.pi * 0.3)) / 2)
    assert at(schedule, 50, base=0.9) == pytest.approx(0.1)


def test_cosine_and_linear_may_start_later() -> None:
    cosine, linear = Cosine(after=150), Linear(end=0.0, after=150)
    assert [at(cosine, epoch, base=2.0) for epoch in (0, 149, 150, 195, 240)] == pytest.approx([2.0, 2.0, 2.0, 1.0, 0.0])
    assert [at(linear, epoch, base=2.0) for epoch in (0, 150, 180, 240)] == pytest.approx([2.0, 2.0, 4 / 3, 0.0])


def test_linear_counts_steps_if_asked_to() -> None:
    schedule = Linear(start=0.0, end=1.0, until=100, unit="step")
    assert at(schedule, 2, batch=5) == pytest.approx(0.25)


def test_piecewise_holds_the_configured_number_before_its_first_milestone() -> None:
    schedule = Piecewise(at=[150, 180], values=[3e-4, 3e-5])
    assert [at(schedule, epoch, base=0.0) for epoch in (149, 150, 200)] == [0.0, 3e-4, 3e-5]


def test_constant_is_the_given_or_the_configured_number() -> None:
    assert at(Constant(value=3.0), 7) == 3.0
    assert at(Constant(), 7, base=2.0) == 2.0


def test_impossible_schedules_are_refused() -> None:
    with pytest.raises(ValueError, match="until must be at least 1, got 0"):
        Warmup(until=0)
    for schedule in (Cosine, Linear):
        with pytest.raises(ValueError, match="after must be >= 0 and until above it, got after=5, until=5"):
            schedule(end=0.0, after=5, until=5)
    with pytest.raises(ValueError, match="must ascend"):
        Piecewise(at=[10, 5], values=[1.0, 2.0])
