"""The tables of a report: the leaderboard, how sure its differences are, answers, costs, and ranks over a grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from kdzoo.benchmark.report.board import Board, Row
from kdzoo.benchmark.report.comparison import Comparison
from kdzoo.benchmark.report.figures import NAMES
from kdzoo.benchmark.report.published import as_text
from kdzoo.benchmark.report.ranking import Ranking
from kdzoo.benchmark.report.wording import (
    NONE,
    difference,
    digits,
    interval,
    p_value,
    probability,
    quantity,
    share,
    spread,
    verdict,
)

Columns = Mapping[str, Callable[[Row], str]]
MEASURES = {"agreement": "agreement", "error_agreement": "same errors", "kl": "KL"}
BY_PAIR = "By pair"
EXPLAINED = (
    "{metric} on test, mean ± sd over seeds. *Best on validation* is the test metric of the epoch that was best on validation; "
    "no number here was chosen on test. Differences to {baseline} are paired by seed (and values of the grid), with 95 % t "
    "intervals, which are not corrected for many comparisons."
)
HOW_SURE = (
    "Over seeds: the mean difference at equal seeds and its 95 % t interval. Over test items: the 95 % interval of the same "
    "difference if the test items are drawn anew (paired bootstrap on the saved predictions); – where the task saves "
    "no score of "
    "each item. p: exact, over all signs of the differences, in brackets the smallest that so many seeds can reach; Holm: "
    "corrected for the comparisons in this table, those declared beforehand (marked *) apart. P(better): how often the row is "
    "better at the same seed, with its exact interval. Half-width: half of the interval over seeds, so that smaller "
    "differences "
    "could not be seen; the next column is how many seeds would resolve {resolve:g}, if the spread stays."
)


@dataclass(frozen=True)
class Table:
    """A table: its title, headers, a line a row, and what explains it. `of` are the rows, where there is one a line."""

    title: str
    headers: Sequence[str]
    lines: Sequence[Sequence[str]]
    note: str
    of: Sequence[Row] = ()


def tables(board: Board) -> list[Table]:
    """All tables that have something to show, the leaderboard first."""
    by_pair = _by_pair(board, board.ranking) if board.ranking else None
    found = [leaders(board), by_pair, _compared(board, "comparison", board.baseline)]
    if not any(row.kind == "alone" and row.baseline for row in board.rows):
        alone = next((row.label for row in board.rows if row.kind == "alone"), "student alone")
        found.append(_compared(board, "over_alone", alone if board.ranking is None else "the student alone"))
    found += [_answers(board), _costs(board)]
    if board.ranking:
        found.append(_ranks(board.ranking))
    return [table for table in found if table is not None]


def _by_pair(board: Board, ranking: Ranking) -> Table | None:
    """A line a ranked row, a column a pair, where there are pairs and no grid."""
    rows = {(row.name, row.pair): row for row in board.rows}
    pairs = list(dict.fromkeys(row.pair for row in board.rows))
    if pairs != ranking.blocks:
        return None
    lines = []
    for name, rank in ranking.ranks.items():
        cells = [rows[name, pair].last for pair in pairs]
        places = [digits(row.last for row in board.rows if row.pair == pair) for pair in pairs]
        lines.append([name, *map(spread, cells, places), f"{rank:.2f}"])
    note = f"{board.metric} on test, mean ± sd over seeds, last epoch; rows in the order of their average ranks, 1 the best."
    return Table(BY_PAIR, ["row", *map(str, pairs), "average rank"], lines, note)


def leaders(board: Board) -> Table:
    """The leaderboard; without the column of published numbers where there is none."""
    places = digits([row.last for row in board.rows])
    columns: dict[str, Callable[[Row], str]] = {
        "row": _named,
        "seeds": lambda row: f"{row.last.n}" + (f" ({row.failed} failed)" if row.failed else ""),
        f"{board.metric}, last epoch": lambda row: spread(row.last, places),
        "best on validation": lambda row: spread(row.best, places),
        f"Δ vs {board.baseline}": lambda row: difference(row.difference, places),
    }
    for name in board.also:
        columns[name] = partial(_further, name=name, places=_places(board, name))
    if any(row.published for row in board.rows):
        columns["published"] = lambda row: as_text(row.published, row.last, board.metric)
    if any(row.tuned for row in board.rows):
        columns["trials"] = lambda row: NONE if row.tuned is None else f"{row.tuned['trials']}"
    columns["parameters"] = lambda row: "" if row.parameters is None else f"{row.parameters:,}"
    columns["seconds"] = lambda row: "" if row.seconds is None else f"{row.seconds:.1f}"
    return _table("Leaderboard", board.rows, columns, EXPLAINED.format(metric=board.metric, baseline=board.baseline))


def _compared(board: Board, which: str, against: str) -> Table | None:
    rows = [row for row in board.rows if _comparison(row, which) is not None and row.last.n]
    if not rows:
        return None
    places, higher = digits([row.last for row in board.rows]), board.higher_is_better
    resolve = next(own.resolve for own in (_comparison(row, which) for row in rows) if own)

    def of(text: Callable[[Comparison], str]) -> Callable[[Row], str]:
        def column(row: Row) -> str:
            own = _comparison(row, which)
            return NONE if own is None else text(own)

        return column

    columns: Columns = {
        "row": lambda row: row.label + of(lambda c: " *" if c.declared else "")(row),
        "finding": of(lambda c: verdict(c, places, higher_is_better=higher)),
        "over seeds": of(lambda c: difference(c.seeds, places)),
        "over test items": of(lambda c: interval(c.items, places)),
        "p": of(lambda c: p_value(c.p) + ("" if c.smallest_p is None else f" ({p_value(c.smallest_p)})")),
        "Holm": of(lambda c: p_value(c.corrected)),
        "P(better)": of(lambda c: probability(c.better)),
        "half-width": of(lambda c: NONE if c.half_width is None else f"{c.half_width:.{places}f}"),
        f"seeds for {resolve:g}": of(lambda c: NONE if c.needed is None else f"{c.needed:,}"),
    }
    note = (
        HOW_SURE.format(resolve=resolve) if which == "comparison" else "Columns as in the table of differences to the baseline."
    )
    return _table(f"How sure: differences to {against}", rows, columns, note)


def _comparison(row: Row, which: str) -> Comparison | None:
    found: Comparison | None = getattr(row, which)
    return found


def _answers(board: Board) -> Table | None:
    rows = [row for row in board.rows if row.last.n]
    measured = dict.fromkeys(name for row in rows for name in row.also if row.also[name].n)
    metrics = [name for name in measured if name in board.also or "." not in name]  # `violations.<rule>` is a detail
    teachers = list(dict.fromkeys(name for row in rows for name in row.fidelity))
    if not rows:
        return None
    places = digits([row.last for row in board.rows])
    columns: dict[str, Callable[[Row], str]] = {
        "row": _named,
        "middle half of the seeds": lambda row: NONE if row.robust is None else f"{row.robust:.{places}f}",
        "gap to the teacher closed": lambda row: share(row.gap),
    }
    for name in metrics:
        columns[name] = partial(_further, name=name, places=_places(board, name))
    for teacher in teachers:
        own = "" if len(teachers) == 1 else f" {teacher}"
        for measure in dict.fromkeys(m for row in rows for m in row.fidelity.get(teacher, ())):
            columns[f"{MEASURES.get(measure, measure)}{own}"] = partial(_fidelity, teacher=teacher, measure=measure)
    note = (
        "Means ± sd over seeds, on test, last epoch. The share of the way from the student alone to the teacher has "
        "Fieller's 95 % "
        "interval; it has none where the way itself might be nothing. Agreement: the percentage of test items on which row and "
        "teacher say the same; same errors: of those on which the teacher is wrong, the percentage on which the row "
        "says the same "
        "wrong thing; KL: of the teacher's answer from the row's, in nats. They say how faithful a row is, which is "
        "not how good."
    )
    if len(measured) > len(metrics):
        note += f" {len(measured) - len(metrics)} further metrics are in results.json; bench.also gives one a column."
    return _table("Answers", rows, columns, note)


def _costs(board: Board) -> Table | None:
    rows = [row for row in board.rows if row.figures]
    names = [name for name in NAMES if any(name in row.figures for row in rows)]
    if not rows:
        return None
    columns: dict[str, Callable[[Row], str]] = {"row": _named}
    for name in names:
        columns[NAMES[name]] = partial(_figure, name=name)
    note = (
        "Means over seeds. FLOPs are those of matrix products, convolutions and attention, two for each multiply-add (torch's "
        "counter); training FLOPs include teachers, meta steps and hooks, measured on some steps of each kind and multiplied. "
        "Wall time and speed are only comparable where nothing else ran on the machine; CPU seconds are those of the steps. "
        "Teacher forwards: samples that teachers were asked about in training. Peak memory: of the GPU, or of the "
        "whole process. The training of the teachers themselves is in none of these."
    )
    return _table("Costs", rows, columns, note)


def _ranks(ranking: Ranking) -> Table:
    lines = [[row, f"{rank:.2f}"] for row, rank in ranking.ranks.items()]
    groups = "; ".join(", ".join(group) for group in ranking.groups)
    note = (
        f"Ranks of the means over {', '.join(ranking.blocks)}; 1 is the best. "
        + ("" if ranking.friedman_p is None else f"Friedman's p that all rows are alike: {p_value(ranking.friedman_p)}. ")
        + f"Rows whose ranks differ by less than {ranking.critical_difference:.2f} (Nemenyi, 5 %) are not told apart"
        + (f": {groups}." if groups else ".")
        + (f" Not over all of these, so not ranked: {', '.join(ranking.left_out)}." if ranking.left_out else "")
        + " The test supposes that they are independent, as different data sets are and values of a setting are not."
    )
    return Table("How sure: average ranks", ["row", "average rank"], lines, note)


def _table(title: str, rows: Sequence[Row], columns: Columns, note: str) -> Table:
    return Table(title, list(columns), [[text(row) for text in columns.values()] for row in rows], note, rows)


def _named(row: Row) -> str:
    return row.label + (" (baseline)" if row.baseline else "")


def _places(board: Board, name: str) -> int:
    return digits(row.also[name] for row in board.rows if name in row.also)


def _further(row: Row, *, name: str, places: int) -> str:
    return spread(row.also[name], places) if name in row.also else NONE


def _fidelity(row: Row, *, teacher: str, measure: str) -> str:
    found = row.fidelity.get(teacher, {}).get(measure)
    return NONE if found is None else spread(found, 2 if measure.endswith("agreement") else 4)


def _figure(row: Row, *, name: str) -> str:
    value = row.figures.get(name)
    if name == "parameters":
        return NONE if value is None else f"{value:,.0f}"
    if name.endswith("seconds"):
        return NONE if value is None else f"{value:.1f}"
    return quantity(value)
