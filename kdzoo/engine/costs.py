"""What a training costs: time, samples, teacher forwards, memory, and floating-point operations.

Counting operations slows a step down, so a few steps are counted and stand for the others: steps are of one kind if they belong
to one stage and asked the same models equally often. The first step of a kind tells that there is a new kind, the next one is
counted; a kind that never came again is taken at the mean of its stage. Costs go with the number of samples.
"""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdzoo.engine.allocator import give_back_freed_memory
from kdzoo.engine.apart import cpu_time, is_apart
from kdzoo.engine.flops import FlopCounter

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


Answer = tuple[str, str, str, int, int, int]
"""Whose answer to what: teacher, view, stage, epoch, batch, micro-batch."""
REMEMBERED = 256


@dataclass
class Price:
    """What a frozen teacher's answer costs a sample.

    Attributes:
        flops: operations; None before they are counted.
        asked: samples that its model is asked about: none where the answer is looked up.
        cpu_seconds: of the latest answer.
    """

    flops: float | None = None
    asked: float = 0.0
    cpu_seconds: float = 0.0


class Costs:
    """The costs of one run so far; survives a restart by `state` and `restore`.

    Attributes:
        asked: role -> samples that the model was asked about in training; calls: role -> how often.
        samples: trained on; cpu_seconds: of this process in steps and teachers' updates.
        count: whether operations are counted (they cannot be in a compiled model).
    """

    def __init__(self, *, count: bool = True) -> None:
        self.asked, self.calls = Counter[str](), Counter[str]()
        self.samples, self.cpu_seconds = 0, 0.0
        self.count = count
        self._flops: dict[str, float] = {}  # kind -> operations a sample
        self._of_kind = Counter[str]()  # kind -> samples
        self._last: dict[str, str] = {}  # part of the training -> kind of its last step
        self._paid: dict[Answer, None] = {}  # answers that are counted already, the latest last
        self._borrowed = 0.0  # operations of answers that another run asked for

    def ask(self, role: str, samples: int) -> None:
        """A model is asked about some samples."""
        if not is_apart():
            self.calls[role] += 1
            self.asked[role] += samples

    def paid(self, answer: Answer) -> None:
        """An answer that a teacher gave to this run itself."""
        self._paid[answer] = None
        if len(self._paid) > REMEMBERED:
            del self._paid[next(iter(self._paid))]

    def borrow(self, answer: Answer, samples: int, price: Price) -> None:
        """A known answer is used: the first time it costs what it would have cost this run alone."""
        if answer not in self._paid:
            self.paid(answer)
            if price.asked:
                self.ask(answer[0], round(samples * price.asked))
            self._borrowed += samples * (price.flops or 0.0)
            self.cpu_seconds += samples * price.cpu_seconds

    @contextmanager
    def part(self, name: str, samples: int) -> Iterator[None]:
        """A step, or what comes before it: `name` says of which stage. Counted where its kind is likely to be a new one."""
        before, started, borrowed = dict(self.calls), cpu_time(), self._borrowed
        counter = FlopCounter() if self.count and self._last.get(name) not in self._flops else None
        with counter or nullcontext():
            yield
        self.cpu_seconds += cpu_time() - started
        asked = [(role, calls - before.get(role, 0)) for role, calls in sorted(self.calls.items())]
        kind = f"{name}: {[(role, more) for role, more in asked if more]}"
        if counter is not None:
            self._flops.setdefault(kind, (counter.total + self._borrowed - borrowed) / max(samples, 1))
        self._of_kind[kind] += samples
        self._last[name] = kind

    @property
    def flops(self) -> int | None:
        """Operations of the whole training; None where they could not be counted."""
        if not self.count:
            return None
        return round(sum(samples * self._a_sample(kind) for kind, samples in self._of_kind.items()))

    def _a_sample(self, kind: str) -> float:
        if kind in self._flops:
            return self._flops[kind]
        part = kind.partition(":")[0]
        alike = {other: flops for other, flops in self._flops.items() if other.partition(":")[0] == part}
        weights = {other: self._of_kind[other] for other in alike}
        return sum(alike[other] * weights[other] for other in alike) / max(sum(weights.values()), 1)

    def state(self) -> dict[str, Any]:
        return {
            "asked": dict(self.asked),
            "calls": dict(self.calls),
            "samples": self.samples,
            "cpu_seconds": self.cpu_seconds,
            "flops": dict(self._flops),
            "of_kind": dict(self._of_kind),
            "last": dict(self._last),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.asked, self.calls = Counter(state.get("asked", {})), Counter(state.get("calls", {}))
        self.samples, self.cpu_seconds = state.get("samples", 0), state.get("cpu_seconds", 0.0)
        self._flops, self._of_kind = dict(state.get("flops", {})), Counter(state.get("of_kind", {}))
        # A resumed run counts at the steps at which an unbroken one does: some derivatives are rounded otherwise meanwhile.
        self._last = dict(state.get("last", {}))


def watch_memory(device: torch.device) -> None:
    """From now on `peak_memory` is that of what comes; where the system cannot do that, it stays that of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    give_back_freed_memory()
    with suppress(OSError):
        REFERENCES.write_text("5")  # Linux: set the high-water mark of the resident set back


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU, else of the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
