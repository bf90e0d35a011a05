"""Named streams: numbers depend on their name and position, and on nothing else."""

from __future__ import annotations

import torch

from kdzoo.random import Streams


def test_a_generator_repeats_itself_and_differs_from_its_neighbors() -> None:
    streams = Streams(3)
    draws = [torch.rand(4, generator=streams.generator("order", *position)) for position in [(0,), (0,), (1,)]]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], torch.rand(4, generator=Streams(4).generator("order", 0)))


def test_a_sample_gets_the_same_uniform_numbers_in_whatever_batch() -> None:
    streams, index = Streams(0), torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    whole = streams.uniform(index, 3, "augment", 5)
    parts = torch.cat([streams.uniform(part, 3, "augment", 5) for part in index.split(7)])
    assert torch.equal(whole, parts)


def test_uniform_numbers_are_uniform_and_their_lanes_uncorrelated() -> None:
    draws = Streams(1).uniform(torch.arange(200_000), 4, "test").double()
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = torch.histc(draws[:, 0], bins=20, min=0, max=1)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 50, "chi-squared with 19 degrees of freedom"
    assert torch.corrcoef(draws.T).fill_diagonal_(0).abs().max() < 0.01


def test_global_generators_are_seeded_inside_and_restored_after() -> None:
    torch.manual_seed(11)
    expected = torch.rand(2)
    torch.manual_seed(11)
    with Streams(0).applied(torch.device("cpu"), "step", "student", 0):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with Streams(0).applied(torch.device("cpu"), "step", "student", 0):
        assert torch.equal(torch.rand(2), inside)
