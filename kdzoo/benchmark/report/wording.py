"""Numbers and findings as text, the same in every format."""

from __future__ import annotations

from collections.abc import Iterable

from kdzoo.benchmark.report.board import Share
from kdzoo.benchmark.report.comparison import Comparison
from kdzoo.benchmark.report.evidence import Probability
from kdzoo.benchmark.report.statistics import Summary

NONE = "–"
SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))


def spread(summary: Summary, places: int) -> str:
    """Mean ± sd."""
    if summary.mean is None:
        return NONE
    return f"{summary.mean:.{places}f}" + ("" if summary.sd is None else f" ± {summary.sd:.{places}f}")


def difference(summary: Summary | None, places: int) -> str:
    """Mean difference and its interval, with a sign."""
    if summary is None or summary.mean is None:
        return NONE
    return f"{summary.mean:+.{places}f}" + ("" if summary.interval is None else f" {interval(summary.interval, places)}")


def interval(bounds: tuple[float, float] | None, places: int) -> str:
    """An interval of a difference, with signs."""
    return NONE if bounds is None else "[{:+.{p}f}, {:+.{p}f}]".format(*bounds, p=places)


def digits(column: Iterable[Summary]) -> int:
    """Decimal places of a column: two for percents and the like, four for what is small."""
    return 2 if any(abs(summary.mean or 0) >= 10 for summary in column) else 4


def p_value(p: float | None) -> str:
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def probability(found: Probability | None) -> str:
    """A probability with its interval."""
    return NONE if found is None else "{:.2f} [{:.2f}, {:.2f}]".format(found.value, *found.interval)


def share(found: Share | None) -> str:
    """A share in percent, with its interval."""
    if found is None:
        return NONE
    bounds = "" if found.interval is None else " [{:.0f}, {:.0f}]".format(*(100 * bound for bound in found.interval))
    return f"{100 * found.value:.0f} %{bounds}".replace("-0 ", "0 ")


def quantity(value: float | None) -> str:
    """A large number with three figures and a prefix; a small one as it is."""
    if value is None:
        return NONE
    scale, prefix = next(((s, p) for s, p in SCALES if abs(value) >= s), (1.0, ""))
    if prefix:
        return f"{value / scale:.3g} {prefix}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"


def _not_zero(value: float, places: int) -> str:
    """A number above zero, which must not read as zero."""
    text = f"{value:.{places}f}"
    return text if float(text) else f"{value:.1g}"


def verdict(found: Comparison | None, places: int, *, higher_is_better: bool) -> str:
    """What may be said of a difference: which row is better, or what the difference is less than; never that there is none."""
    if found is None:
        return NONE
    if found.less_than is None:
        return "one seed says nothing" if found.seeds.n else NONE
    if not found.less_than:
        return "the same at every seed, which says nothing of others"
    if not found.sign:
        return f"differs by less than {_not_zero(found.less_than, places)}"
    word = "better" if (found.sign > 0) == higher_is_better else "worse"
    return word if found.sure else f"{word}, if this were the only comparison"
