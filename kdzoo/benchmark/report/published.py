"""The table of published numbers, `recipes/published.csv`: method x pair x value x source x protocol. Needs no torch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from typing import Any

from kdzoo.benchmark.report.statistics import Summary
from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.recipe.find import builtin_folder

TABLE = "published.csv"


@cache
def published() -> dict[str, dict[str, Any]]:
    """All numbers by `PAIR/METHOD`: `metric`, `value`, `source` (which ends in the protocol), and `sd` and `n` where known."""
    with (builtin_folder() / TABLE).open(encoding="utf-8", newline="") as file:
        return {f"{line['pair']}/{line['method']}": _number(line) for line in csv.DictReader(file)}


def pairs() -> list[str]:
    """The pairs in the table."""
    return list(dict.fromkeys(name.partition("/")[0] for name in published()))


def chosen(labels: Mapping[str, str | None], pair: str | None) -> dict[str, str]:
    """Row label -> the name of its number in the table, for those rows that have one.

    Args:
        labels: of all rows, each with the name that the row gives itself.
        pair: whose numbers they are where a row gives no name; the label is then the method.

    Raises:
        RecipeError: a name that is not in the table.
    """
    if pair is not None and pair not in pairs():
        raise RecipeError(f"bench.published: {TABLE} has no pair '{pair}'; {did_you_mean(pair, pairs())}")
    for label, name in labels.items():
        if name is not None and name not in published():
            hint = did_you_mean(str(name), published())
            raise RecipeError(f"bench.methods.{label}.published: {TABLE} has no number PAIR/METHOD '{name}'; {hint}")
    names = {label: name or f"{pair}/{label}" for label, name in labels.items()}
    return {label: name for label, name in names.items() if name in published()}


def verdict(own: Summary, number: Mapping[str, Any]) -> str:
    """Where the measured mean lies: within the published value's sd, above or below; or why that cannot be said."""
    sd = number.get("sd")
    if number.get("n") == 1:
        return "one run"
    if sd is None or own.mean is None:
        return "" if own.mean is None else "no sd"
    return "within" if abs(own.mean - number["value"]) <= sd else "above" if own.mean > number["value"] else "below"


def as_text(number: Mapping[str, Any] | None, own: Summary, metric: str) -> str:
    """A published number beside a row's: value, sd, the metric where it is another, and the verdict."""
    if number is None:
        return "–"
    spread = "" if number.get("sd") is None else f" ± {number['sd']:g}"
    if number["metric"] != metric:
        return f"{number['value']:g}{spread} {number['metric']}"
    said = verdict(own, number)
    return f"{number['value']:g}{spread}" + (f" ({said})" if said else "")


def _number(line: Mapping[str, str | None]) -> dict[str, Any]:
    source = ", ".join(text for text in (line["source"], line["protocol"]) if text)
    number: dict[str, Any] = {"metric": line["metric"], "value": float(line["value"] or "nan"), "source": source}
    known = {"sd": float, "n": int}
    return number | {key: read(str(line[key])) for key, read in known.items() if line.get(key)}
