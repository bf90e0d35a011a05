"""Named counter-based random streams: a number depends on (seed, stream, counters) and on nothing that ran before it.

That is why resuming needs no generator state, why every method sees the same samples at one seed, and why splitting a batch
over micro-batches or processes does not change an augmentation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Counter = int | str
# splitmix64 (Steele, Lea, Flood, OOPSLA 2014) in two's complement, as torch has no unsigned 64-bit arithmetic.
GAMMA, MIX_A, MIX_B = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


class Streams:
    """All randomness of a run at one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def number(self, stream: str, *counters: Counter) -> int:
        """A 63-bit number for this stream and place."""
        text = "\x1f".join(str(part) for part in (self.seed, stream, *counters))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1

    def generator(self, stream: str, *counters: Counter, device: torch.device | str = "cpu") -> torch.Generator:
        """A fresh torch generator seeded for this stream and place."""
        return torch.Generator(device).manual_seed(self.number(stream, *counters))

    def permutation(self, size: int, stream: str, *counters: Counter) -> Tensor:
        """A random order of 0..size-1, int64 on the CPU."""
        return torch.randperm(size, generator=self.generator(stream, *counters))

    def uniform(self, index: Tensor, draws: int, stream: str, *counters: Counter) -> Tensor:
        """Uniform numbers in [0, 1), float32 (B, draws): row i depends only on (seed, stream, counters, index[i]).

        A splitmix64 hash on the index's own device, equal bit for bit on every device and however a batch is split.
        """
        base = self.number(stream, *counters)
        lane = torch.arange(draws, device=index.device, dtype=torch.int64)
        z = _mix(_mix(index.to(torch.int64)[:, None] * GAMMA + base) + (lane + 1) * GAMMA)
        return ((z >> 40) & 0xFFFFFF).to(torch.float32) / float(1 << 24)

    @contextmanager
    def applied(self, device: torch.device, stream: str, *counters: Counter) -> Iterator[None]:
        """Seed torch's global generators for this block (dropout, initialization) and restore them afterwards."""
        generators = [torch.default_generator]
        if device.type == "cuda":
            generators.append(torch.cuda.default_generators[device.index or 0])
        states = [g.get_state() for g in generators]
        number = self.number(stream, *counters)
        try:
            for generator in generators:
                generator.manual_seed(number)
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)


def _mix(z: Tensor) -> Tensor:
    z = (z ^ _shift(z, 30)) * MIX_A
    z = (z ^ _shift(z, 27)) * MIX_B
    return z ^ _shift(z, 31)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Logical right shift of a signed 64-bit tensor."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)
