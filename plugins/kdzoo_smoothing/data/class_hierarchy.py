"""Made-up classes that stand in superclasses, with relations that are known exactly: ground truth for what a teacher relates.

    w_gs = sqrt(tau) u_g + sqrt(1 - tau) e_gs,  u_g, e_gs orthonormal    cos(w_gs, w_gs') = tau within a superclass g, 0 between
    z_k = w_k x + sum_m sin(m w_k x + b_m), m = 1 .. difficulty,  x ~ N(0, I_d),  label = argmax_k z_k

d >= G + G S for G superclasses of S classes each. The sines bend the borders between classes, so `difficulty` is how hard the
task is. With none of them, or with one, which leaves the order of the scores, a linear classifier is perfect.
The design is kdzoo's.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from kdzoo.data.augment import Augmentation
from kdzoo.data.sets import Images, ImageSet, fingerprint
from kdzoo.random import Streams
from kdzoo.ranges import at_least, at_least_and_below

SPREAD = 12.0
"""x is kept as x / SPREAD + 1/2, cut to [0, 1], as images are: what is cut is beyond 6 standard deviations."""
STREAM = "class_hierarchy"


def class_weights(superclasses: int, subclasses: int, dimensions: int, *, tau: float, seed: int = 0) -> Tensor:
    """(G S, d) unit vectors in superclass order, with cosines of exactly tau within a superclass and 0 between, in float64."""
    count = superclasses * subclasses
    generator = Streams(seed).generator(STREAM, "weights")
    drawn = torch.randn(dimensions, superclasses + count, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(drawn).Q.T
    above, own = basis[:superclasses], basis[superclasses:]
    return math.sqrt(tau) * above.repeat_interleave(subclasses, 0) + math.sqrt(1 - tau) * own


def class_scores(x: Tensor, weights: Tensor, phases: Tensor) -> Tensor:
    """(N, K) scores `s + sum_m sin(m s + b_m)`, s = x W^T: x (N, d), weights (K, d), phases (M,)."""
    s = x @ weights.T
    return s + sum(torch.sin((m + 1) * s + phase) for m, phase in enumerate(phases.tolist()))


class ClassHierarchy:
    """Normal vectors, shown as square gray images, in classes of superclasses.

    Args:
        superclasses, subclasses: G, and S of each; classes are numbered superclass by superclass, and named `g.s`.
        tau: cosine of two classes of one superclass, 0 to below 1.
        difficulty: how many sines bend the borders, at least 0.
        side: of an image; d is side * side.
        train, test: how many samples. seed: of the weights, the phases and the samples.

    Raises ValueError where there are more directions than dimensions.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        superclasses: int = 4,
        subclasses: int = 5,
        tau: float = 0.5,
        difficulty: int = 2,
        side: int = 6,
        train: int = 10_000,
        test: int = 5_000,
        seed: int = 0,
    ) -> None:
        at_least(1, superclasses=superclasses, subclasses=subclasses, side=side, train=train, test=test)
        at_least(2, classes=superclasses * subclasses)
        at_least(0, difficulty=difficulty)
        at_least_and_below(0, 1, tau=tau)
        directions = superclasses * (1 + subclasses)
        if side * side < directions:
            raise ValueError(
                f"side must be at least {math.isqrt(directions - 1) + 1}, got {side}: {superclasses} superclasses of "
                f"{subclasses} classes take {directions} directions, an image of {side} x {side} has {side * side}"
            )
        self.superclasses, self.subclasses, self.tau, self.difficulty = superclasses, subclasses, tau, difficulty
        self.side, self.sizes, self.seed = side, {"train": train, "test": test}, seed

    @property
    def declares(self) -> dict[str, int]:
        """All of it."""
        return {"classes": self.superclasses * self.subclasses, "channels": 1, "size": self.side}

    def load(self, root: Path | None = None) -> ImageSet:
        """Draw it; `root` is not needed."""
        train, test = (self._part(name) for name in ("train", "test"))
        names = tuple(f"{g}.{s}" for g in range(self.superclasses) for s in range(self.subclasses))
        return ImageSet(
            train=train,
            test=test,
            classes=len(names),
            class_names=names,
            mean=(0.5,),
            std=(1 / SPREAD,),
            augment=Augmentation(),
            fingerprint=fingerprint(train, test),
        )

    def _part(self, name: str) -> Images:
        streams, dimensions = Streams(self.seed), self.side**2
        weights = class_weights(self.superclasses, self.subclasses, dimensions, tau=self.tau, seed=self.seed)
        phases = 2 * math.pi * torch.rand(self.difficulty, generator=streams.generator(STREAM, "phases"), dtype=torch.float64)
        drawn = torch.randn(self.sizes[name], dimensions, generator=streams.generator(STREAM, name), dtype=torch.float64)
        pixels = (drawn / SPREAD + 0.5).clamp(0, 1).float()
        labels = class_scores((pixels.double() - 0.5) * SPREAD, weights, phases).argmax(1)
        return Images(pixels.view(-1, 1, self.side, self.side), labels)
