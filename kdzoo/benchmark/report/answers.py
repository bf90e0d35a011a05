"""Pictures of what single models say: reliability, confusion, and the correlation of logits beside the teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdzoo.benchmark.report.axes import Axis, frame, svg
from kdzoo.benchmark.report.png import data_uri
from kdzoo.benchmark.report.samples import Logits

BINS = 15
HUE = (59, 111, 212)


@dataclass(frozen=True)
class Answers:
    """A model's pictures: reliability as SVG, confusion and correlation as addresses of PNGs with what they show in words."""

    label: str
    reliability: str
    confusion: str
    confusion_text: str
    correlation: str | None
    correlation_text: str


def answers(target: NDArray[np.int64], logits: Mapping[str, Logits], *, rows: list[str], teacher: str | None) -> list[Answers]:
    """The pictures of some models, by label of `logits`."""
    found = []
    for label in rows:
        own = logits[label]
        table = confusion(target, own)
        off = table - np.diag(np.diag(table))
        worst = np.unravel_index(int(off.argmax()), off.shape)
        apart = None if teacher is None or teacher == label else correlation_gap(own, logits[teacher])
        found.append(
            Answers(
                label,
                _reliability(target, own),
                data_uri(_tinted(table)),
                f"class {worst[0]} is taken for {worst[1]} most often, {100 * off[worst]:.1f} % of the time",
                None if apart is None else data_uri(_tinted(apart / 2)),
                "" if apart is None else f"mean absolute difference {apart.mean():.3f}",
            )
        )
    return found


def confusion(target: NDArray[np.int64], logits: Logits) -> NDArray[np.float64]:
    """(C, C): of the samples of a class (row), the share that each class (column) is said of."""
    classes = logits.shape[1]
    counts = np.bincount(target * classes + logits.argmax(1), minlength=classes * classes).reshape(classes, classes)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def correlation_gap(student: Logits, teacher: Logits) -> NDArray[np.float64] | None:
    """(C, C): |correlation of two classes' logits over samples, student minus teacher|; None for other classes."""
    if student.shape != teacher.shape:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = np.abs(np.corrcoef(student, rowvar=False) - np.corrcoef(teacher, rowvar=False))
    return np.nan_to_num(gap)


def reliability(target: NDArray[np.int64], logits: Logits, bins: int = BINS) -> list[tuple[float, float, float]]:
    """For each bin of confidence that has samples: mean confidence, accuracy, and share of the samples."""
    odds = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    confidence, right = (odds / odds.sum(1, keepdims=True)).max(1), logits.argmax(1) == target
    place = np.clip(np.ceil(confidence * bins).astype(int), 1, bins) - 1
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (confidence, right)]
    return [(sums[0][b] / count[b], sums[1][b] / count[b], count[b] / len(target)) for b in range(bins) if count[b]]


def _reliability(target: NDArray[np.int64], logits: Logits) -> str:
    x, y = Axis(0, 1, 40, 250, (0, 0.5, 1)), Axis(0, 1, 190, 20, (0, 0.5, 1))
    found = reliability(target, logits)
    bars = [
        f'<rect class="share" x="{x.at(c) - 4:g}" width="8" y="{y.at(share):g}" height="{190 - y.at(share):g}"/>'
        for c, _, share in found
    ]
    line = " ".join(f"{x.at(c):g},{y.at(a):g}" for c, a, _ in found)
    dots = [f'<circle class="point" cx="{x.at(c):g}" cy="{y.at(a):g}" r="3"/>' for c, a, _ in found]
    diagonal = f'<line class="reference" x1="{x.at(0)}" y1="{y.at(0)}" x2="{x.at(1)}" y2="{y.at(1)}"/>'
    parts = [
        frame(x, y, along="confidence", up="accuracy"),
        *bars,
        diagonal,
        f'<polyline class="curve" points="{line}"/>',
        *dots,
    ]
    return svg(260, 226, parts, "Accuracy over confidence in bins")


def _tinted(table: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values in [0, 1] as the opacity of one color: (4, C, C)."""
    shade: NDArray[Any] = np.clip(255 * table, 0, 255)
    return np.stack([*(np.full_like(shade, channel) for channel in HUE), shade]).astype(np.uint8)
