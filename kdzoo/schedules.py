"""Schedules: a number as a function of progress within the stage. Any float attribute, term weight or rate may follow one.

A schedule gets the number that the recipe configured (`base`) and returns what holds now. `unit: epoch` counts whole epochs
done, as the papers' code does; `unit: step` counts optimizer steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from kdzoo.protocol.outputs import Progress
from kdzoo.ranges import at_least, at_least_and_below, finite

Unit = Literal["epoch", "step"]


class Schedule:
    """Base of all schedules."""

    kdzoo_kind = "schedules"

    def __init__(self, unit: Unit = "epoch") -> None:
        self.unit = unit

    def value(self, base: float, progress: Progress) -> float:
        """The number that holds at `progress`, given the configured one."""
        raise NotImplementedError

    def done(self, progress: Progress) -> int:
        """Whole units done."""
        return progress.epoch if self.unit == "epoch" else progress.step

    def total(self, progress: Progress) -> int:
        """Units in the stage."""
        return progress.epochs if self.unit == "epoch" else progress.steps


class Constant(Schedule):
    """Always `value` (default: the configured number)."""

    def __init__(self, *, value: float | None = None) -> None:
        super().__init__()
        finite(value=value)
        self.constant = value

    def value(self, base: float, progress: Progress) -> float:
        return base if self.constant is None else self.constant


class Ramp(Schedule):
    """Base of the schedules that go from one number to another between two moments."""

    def __init__(self, *, end: float, start: float | None, after: int, until: int | None, unit: Unit) -> None:
        super().__init__(unit)
        finite(end=end, start=start, after=after, until=until)
        if after < 0 or (until is not None and until <= after):
            raise ValueError(f"after must be >= 0 and until above it, got after={after}, until={until}")
        self.start, self.end, self.after, self.until = start, end, after, until

    def ends(self, base: float) -> tuple[float, float]:
        return base if self.start is None else self.start, self.end

    def share(self, progress: Progress) -> float:
        """How much of the way is done, 0 to 1."""
        span = max((self.until or self.total(progress)) - self.after, 1)
        return min(max(self.done(progress) - self.after, 0) / span, 1.0)


class Linear(Ramp):
    """From `start` (default: the configured number) to `end` between `after` and `until` units (default: the whole stage)."""

    def __init__(
        self, *, end: float, start: float | None = None, after: int = 0, until: int | None = None, unit: Unit = "epoch"
    ) -> None:
        super().__init__(end=end, start=start, after=after, until=until, unit=unit)

    def value(self, base: float, progress: Progress) -> float:
        start, end = self.ends(base)
        return start + (end - start) * self.share(progress)


class Cosine(Ramp):
    """Half a cosine from `start` (default: the configured number) to `end` between `after` and `until` units (default: the
    whole stage)."""

    def __init__(
        self, *, end: float = 0.0, start: float | None = None, after: int = 0, until: int | None = None, unit: Unit = "epoch"
    ) -> None:
        super().__init__(end=end, start=start, after=after, until=until, unit=unit)

    def value(self, base: float, progress: Progress) -> float:
        start, end = self.ends(base)
        return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * self.share(progress)))


class Steps(Schedule):
    """Multiply by `factor` at each milestone in `at` (the CIFAR protocol: 150, 180, 210 and 0.1)."""

    def __init__(self, *, at: Sequence[int], factor: float = 0.1, unit: Unit = "epoch") -> None:
        super().__init__(unit)
        at_least(0, at=at)
        finite(factor=factor)
        self.at, self.factor = tuple(at), factor

    def value(self, base: float, progress: Progress) -> float:
        return float(base * self.factor ** sum(self.done(progress) >= milestone for milestone in self.at))


class Warmup(Schedule):
    """min((done + 1) / until, 1) times the configured number: epochs are counted from 1, as DKD and ReviewKD do."""

    def __init__(self, *, until: int, unit: Unit = "epoch") -> None:
        super().__init__(unit)
        at_least(1, until=until)
        self.until = until

    def value(self, base: float, progress: Progress) -> float:
        return base * min((self.done(progress) + 1) / self.until, 1.0)


class WarmupLinear(Schedule):
    """Up from 0 over the first `share` of the stage's steps, then straight down to `end`, as BERTs are fine-tuned."""

    def __init__(self, *, share: float = 0.1, end: float = 0.0, unit: Unit = "step") -> None:
        super().__init__(unit)
        at_least_and_below(0, 1, share=share)
        finite(end=end)
        self.share, self.end = share, end

    def value(self, base: float, progress: Progress) -> float:
        total = self.total(progress)
        rising = round(self.share * total)
        done = self.done(progress)
        if done < rising:
            return base * (done + 1) / rising
        return base + (self.end - base) * (done - rising) / max(1, total - rising)


class Piecewise(Schedule):
    """`values[i]` from `at[i]` on; before the first milestone the configured number (MetaDistil's teacher rate)."""

    def __init__(self, *, at: Sequence[int], values: Sequence[float], unit: Unit = "epoch") -> None:
        super().__init__(unit)
        at_least(0, at=at)
        finite(values=values)
        if len(at) != len(values) or list(at) != sorted(at):
            raise ValueError(f"at must ascend and match values one to one, got at={list(at)}, values={list(values)}")
        self.at, self.values = tuple(at), tuple(values)

    def value(self, base: float, progress: Progress) -> float:
        passed = sum(self.done(progress) >= milestone for milestone in self.at)
        return self.values[passed - 1] if passed else base
