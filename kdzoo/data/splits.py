"""Fixed and seeded partitions of a training set: validation, a smaller training set, further parts such as the quiz.

All parts are disjoint and stratified. With n samples of N asked for, a class of n_c gives floor or ceil of n * n_c / N; but it
always keeps one for training, even if others have to give more.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from kdzoo.random import Streams
from kdzoo.ranges import finite

FIXED_SEED = 0
RESERVED = ("train", "validation", "test")


def split(
    labels: Tensor,
    *,
    validation: float = 0.1,
    train_size: int | None = None,
    subset_seed: int = 0,
    parts: Mapping[str, float] = MappingProxyType({}),
    parts_seed: int = 0,
) -> dict[str, Tensor]:
    """Sorted indices (int64) into `labels` (N,) for `train`, `validation` and each of `parts`; one of size 0 is left out.

    Args:
        validation: how much is held out; the partition is the same for every seed and every train_size. A fraction of N if
            it is a float below 1, a number of samples if it is an int. 0 where the data set has a validation part already.
        train_size: samples to keep of what remains, a stratified subset drawn with `subset_seed`; None keeps all.
        parts: name to the fraction (or number) of these that is taken out of training, drawn with `parts_seed`.

    Raises:
        ValueError: an impossible size, in one sentence.
    """
    labels = labels.cpu()
    pool = torch.arange(len(labels))
    result: dict[str, Tensor] = {}
    if validation:
        count = _count("validation", validation, len(pool))
        result["validation"], pool = _take("validation", labels, pool, count, FIXED_SEED)
    if train_size is not None:
        pool = _subset(labels, pool, train_size, subset_seed)
    available = len(pool)
    for name, size in sorted(parts.items()):
        if name in RESERVED:
            raise ValueError(f"a part may not be called {name!r}, which the data set has itself: choose another name.")
        result[name], pool = _take(name, labels, pool, _count(name, size, available), parts_seed)
    return {"train": pool, **result}


def stratified(labels: Tensor, count: int, *, seed: int, stream: str, keep: int = 0) -> Tensor:
    """Sorted indices of `count` samples, drawn by a hash of (seed, stream, index); each class keeps at least `keep`.

    Raises ValueError if the classes cannot give that many.
    """
    per_class = torch.bincount(labels)
    quota = _quotas(per_class, count, keep=keep, seed=seed, stream=stream)
    shuffled = Streams(seed).uniform(torch.arange(len(labels)), 1, stream)[:, 0].argsort(stable=True)
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    start = per_class.cumsum(0) - per_class
    rank = torch.arange(len(labels)) - start[labels[by_class]]
    return by_class[rank < quota[labels[by_class]]].sort().values


def _quotas(per_class: Tensor, count: int, *, keep: int, seed: int, stream: str) -> Tensor:
    """How many each class gives: its exact share rounded down, and one more for the largest remainders, ties by hash."""
    limit = (per_class - keep).clamp(min=0)
    if count > int(limit.sum()):
        raise ValueError(
            f"{count} samples are asked for, but the {len(per_class)} classes can give {int(limit.sum())}"
            + (f" if each keeps {keep} for training" if keep else "")
            + ": ask for fewer."
        )
    share = per_class * count  # exact: in units of 1 / N
    quota = torch.minimum(share // per_class.sum(), limit)
    tie = Streams(seed).uniform(torch.arange(len(per_class)), 1, stream, "classes")[:, 0].double()
    order = (share - quota * per_class.sum() + tie).argsort(descending=True)
    while (missing := count - int(quota.sum())) > 0:
        open_classes = order[(quota < limit)[order]][:missing]
        quota[open_classes] += 1
    return quota


def _take(name: str, labels: Tensor, pool: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The part and what it leaves of the pool."""
    try:
        chosen = stratified(labels[pool], count, seed=seed, stream=f"split/{name}", keep=1)
    except ValueError as error:
        raise ValueError(f"{name} cannot be split off: {error}") from None
    left = torch.ones(len(pool), dtype=torch.bool)
    left[chosen] = False
    return pool[chosen], pool[left]


def _subset(labels: Tensor, pool: Tensor, size: int, seed: int) -> Tensor:
    classes = int(torch.bincount(labels[pool]).count_nonzero())
    if not classes <= size <= len(pool):
        raise ValueError(
            f"train_size is {size}, but there are {len(pool)} training samples of {classes} classes: "
            f"choose a number from {classes} to {len(pool)}, or null for all."
        )
    return pool[stratified(labels[pool], size, seed=seed, stream="split/subset")]


def _count(name: str, size: float, available: int) -> int:
    """A fraction or a number of samples as a number of samples."""
    finite(**{name: size})
    count = size if isinstance(size, int) else round(size * available)
    if isinstance(size, float) and not 0 < size < 1:
        raise ValueError(f"{name} is the fraction {size}: give one between 0 and 1, or a whole number of samples.")
    if not 0 < count < available:
        raise ValueError(
            f"{name} asks for {count} of {available} samples: choose from 1 to {available - 1}, or a fraction of them."
        )
    return count
