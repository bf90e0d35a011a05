"""Decoders: from a head entity's vector and a relation's to a prediction of the tail. All (B, D) -> (B, D).

TransE (Bordes et al., NeurIPS 2013), DistMult (Yang et al., ICLR 2015, arXiv 1412.6575) and ComplEx (Trouillon et al., ICML
2016, arXiv 1606.06357) as decentRL uses them: unit vectors in, a unit vector out, and its inner products with an output table.
ConvE: Dettmers et al., "Convolutional 2D Knowledge Graph Embeddings", AAAI 2018 (arXiv 1707.01476).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdzoo.errors import RecipeError
from kdzoo.functional.float32 import in_float32


@in_float32
def transe(head: Tensor, relation: Tensor) -> Tensor:
    """`unit(h + r)`."""
    return F.normalize(head + relation, dim=-1)


@in_float32
def distmult(head: Tensor, relation: Tensor) -> Tensor:
    """`unit(h * r)`."""
    return F.normalize(head * relation, dim=-1)


@in_float32
def complex_product(head: Tensor, relation: Tensor) -> Tensor:
    """`unit(h r)` as complex numbers: the first half of a vector is real, the second imaginary."""
    h_re, h_im = head.chunk(2, -1)
    r_re, r_im = relation.chunk(2, -1)
    return F.normalize(torch.cat([h_re * r_re - h_im * r_im, h_re * r_im + h_im * r_re], -1), dim=-1)


@in_float32
def scores(prediction: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """Inner products with the rows of the output table, and their bias: (B, D), (C, D), (C,) -> (B, C)."""
    return prediction @ table.mT + bias


class Product(nn.Module):
    """A decoder without parameters."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.product = product

    def forward(self, head: Tensor, relation: Tensor) -> Tensor:
        return self.product(head, relation)


class ConvE(nn.Module):
    """Head and relation as images one above the other, 32 filters of 3x3, and a linear layer back. Dropouts 0.2 and 0.3."""

    def __init__(self, width: int, *, channels: int = 32) -> None:
        super().__init__()
        self.shape = _rectangle(width)
        rows, columns = 2 * self.shape[0] - 2, self.shape[1] - 2
        if columns < 1:
            raise RecipeError(
                f"decoder conve folds a vector of {width} into {self.shape[0]}x{self.shape[1]}, too narrow for 3x3."
            )
        self.norm_in, self.drop_in = nn.BatchNorm2d(1), nn.Dropout(0.2)
        self.conv = nn.Conv2d(1, channels, 3)
        self.norm_maps, self.drop_maps = nn.BatchNorm2d(channels), nn.Dropout2d(0.2)
        self.flat = nn.Linear(channels * rows * columns, width)
        self.drop_out, self.norm_out = nn.Dropout(0.3), nn.BatchNorm1d(width)

    def forward(self, head: Tensor, relation: Tensor) -> Tensor:
        image = torch.cat([head.unflatten(-1, self.shape), relation.unflatten(-1, self.shape)], 1)[:, None]
        maps = self.conv(self.drop_in(self.norm_in(image)))
        flat: Tensor = self.flat(self.drop_maps(self.norm_maps(maps).relu()).flatten(1))
        out: Tensor = self.norm_out(self.drop_out(flat)).relu()
        return out


def _rectangle(width: int) -> tuple[int, int]:
    """The most nearly square rectangle of this area, upright no more than square."""
    height = next(side for side in range(math.isqrt(width), 0, -1) if width % side == 0)
    return height, width // height


def _complex(width: int) -> nn.Module:
    if width % 2:
        raise RecipeError(f"decoder complex needs vectors of even width, this model's are {width} wide; change student.width.")
    return Product(complex_product)


DECODERS: dict[str, Callable[[int], nn.Module]] = {
    "transe": lambda _: Product(transe),
    "distmult": lambda _: Product(distmult),
    "complex": _complex,
    "conve": ConvE,
}
"""A decoder by name, made for vectors of a width."""
