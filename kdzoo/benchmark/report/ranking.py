"""Rows over several blocks (pairs, data sets, values of a grid): average ranks, Friedman's test, Nemenyi's critical difference.

Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006.

    CD = q_alpha(k) / sqrt(2) * sqrt(k (k + 1) / (6 N))        k rows, N blocks, q of the studentized range

Two rows whose average ranks differ by less than CD are not told apart by that many blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdzoo.benchmark.report.statistics import LEVEL, with_ties
from kdzoo.ranges import at_least


@dataclass(frozen=True)
class Ranking:
    """Rows ranked over blocks.

    Attributes:
        ranks: row -> average rank, 1 the best. single: row -> block -> its rank there. left_out: rows that lack a block.
        friedman_p: of the hypothesis that all rows are alike; None for fewer than three rows.
        critical_difference: of two average ranks, at 5 %. groups: rows, best first, that are not told apart.
    """

    ranks: Mapping[str, float]
    single: Mapping[str, Mapping[str, float]]
    left_out: Sequence[str]
    friedman_p: float | None
    critical_difference: float
    groups: Sequence[Sequence[str]]

    @property
    def blocks(self) -> list[str]:
        """What they were ranked over."""
        return list(next(iter(self.single.values())))


def rank_rows(values: Mapping[str, Mapping[str, float]], *, higher_is_better: bool = True) -> Ranking | None:
    """Rank rows (row -> block -> mean metric) over the blocks; None of fewer than two rows or blocks.

    A row that has not every block is left out: a rank among others is no rank among all.
    """
    from scipy import stats

    blocks = list(dict.fromkeys(block for own in values.values() for block in own))
    complete = [row for row, own in values.items() if len(own) == len(blocks)]
    if len(blocks) < 2 or len(complete) < 2:
        return None
    table = np.array([with_ties([values[row][block] for row in complete]) for block in blocks])
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1)
    single = {row: dict(zip(blocks, own, strict=True)) for row, own in zip(complete, ranks.T.tolist(), strict=True)}
    alike = bool((table == table[:, :1]).all())
    friedman = float(stats.friedmanchisquare(*table.T).pvalue) if len(complete) > 2 and not alike else None
    ordered = dict(sorted(zip(complete, ranks.mean(0).tolist(), strict=True), key=lambda pair: pair[1]))
    difference = critical_difference(len(complete), len(blocks))
    left_out = [row for row in values if row not in complete]
    return Ranking(ordered, single, left_out, friedman, difference, not_told_apart(ordered, difference))


def critical_difference(rows: int, blocks: int, *, level: float = LEVEL) -> float:
    """Nemenyi's smallest difference of two average ranks that is seen at 1 - `level`."""
    from scipy import stats

    at_least(2, rows=rows)
    at_least(1, blocks=blocks)
    q = float(stats.studentized_range.ppf(level, rows, np.inf))
    return q / math.sqrt(2) * math.sqrt(rows * (rows + 1) / (6 * blocks))


def not_told_apart(ranks: Mapping[str, float], difference: float) -> list[list[str]]:
    """The largest groups of neighbors, of two or more, whose average ranks lie within the critical difference."""
    names, groups = list(ranks), list[list[str]]()
    for start, first in enumerate(names):
        group = [name for name in names[start:] if ranks[name] - ranks[first] < difference]
        if len(group) > 1 and not any(set(group) <= set(known) for known in groups):
            groups.append(group)
    return groups
