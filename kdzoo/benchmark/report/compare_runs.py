"""Two runs, or two folders of runs with several seeds each, compared: results, how sure that is, and what differs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo.benchmark.report.comparison import Comparison, Measured, compare
from kdzoo.benchmark.report.figures import mean_figures
from kdzoo.benchmark.report.records import READS, refusal
from kdzoo.benchmark.report.resampling import read_scores
from kdzoo.benchmark.report.statistics import Summary, summarize
from kdzoo.engine.files import read_json
from kdzoo.errors import RecipeError, no_such

RESULT = "result.json"


@dataclass(frozen=True)
class Side:
    """One of the two: its finished runs by seed, with where they lie and what their results say."""

    label: str
    folders: Mapping[int, Path]
    results: Mapping[int, Mapping[str, Any]]

    @property
    def any(self) -> Mapping[str, Any]:
        return next(iter(self.results.values()))

    def metric(self, name: str) -> Summary:
        """A test metric of the last epoch over the seeds."""
        tests = [values["test"]["last"] for values in self.results.values()]
        return summarize([test[name] for test in tests if name in test])


@dataclass(frozen=True)
class TwoRuns:
    """The first minus the second.

    Attributes:
        metrics: name -> both sides' values over their seeds, the headline metric first. figures: cost -> both means.
        comparison: of the headline metric at the seeds that both have; None where they share none.
        settings: path -> both values, where the resolved recipes differ, but for the seed.
        warnings: what makes the two unequal.
    """

    first: Side
    second: Side
    metrics: Mapping[str, tuple[Summary, Summary]]
    figures: Mapping[str, tuple[float | None, float | None]]
    comparison: Comparison | None
    settings: Mapping[str, tuple[Any, Any]]
    warnings: Sequence[str]


def compare_runs(first: Path, second: Path) -> TwoRuns:
    """Compare two folders.

    Raises:
        RecipeError: a folder holds no finished run, or one of another format; or metric or data are not the same.
    """
    a, b = side(first), side(second)
    if shared := {own["identity"] for own in a.results.values()} & {own["identity"] for own in b.results.values()}:
        raise RecipeError(
            f"{first} and {second} hold the same run ({', '.join(sorted(shared))}), which says nothing of a difference: give "
            "two runs, or rows, whose settings, data or code differ."
        )
    metric = a.any["metric"]
    if b.any["metric"] != metric:
        raise RecipeError(f"{first} has the metric {metric}, {second} has {b.any['metric']}: they cannot be compared.")
    if _data(a) != _data(b):
        raise RecipeError(
            f"{first} and {second} were tested on different data, as their fingerprints say: compare runs of one task."
        )
    names = list(dict.fromkeys([metric, *a.any["test"]["last"], *b.any["test"]["last"]]))
    costs = [mean_figures(list(own.results.values())) for own in (a, b)]
    return TwoRuns(
        first=a,
        second=b,
        metrics={name: (a.metric(name), b.metric(name)) for name in names},
        figures={name: (costs[0].get(name), costs[1].get(name)) for name in {**costs[0], **costs[1]}},
        comparison=_compared(a, b, metric),
        settings=_differing(a, b),
        warnings=_warnings(a, b),
    )


def side(folder: Path) -> Side:
    """A run's folder, or one with runs below it (a row of a bench, `cells/<row>`). Raises RecipeError."""
    folders: dict[int, Path] = {}
    results: dict[int, Mapping[str, Any]] = {}
    found = [folder / RESULT] if (folder / RESULT).is_file() else sorted(folder.glob(f"*/{RESULT}"))
    for path in found:
        values = read_json(path)
        if values is None:
            raise RecipeError(f"{path} is no JSON; train that run again.")
        if values.get("format") not in READS:
            raise RecipeError(f"{path}: {refusal(values.get('format'))}")
        if values["seed"] in results:
            raise RecipeError(
                f"{folder} holds two runs with seed {values['seed']}, {folders[values['seed']].name} and {path.parent.name}: "
                "give the folder of one run, or of one row of a bench."
            )
        folders[values["seed"]], results[values["seed"]] = path.parent, values
    if not results:
        if not folder.exists():
            raise RecipeError(no_such(folder))
        raise RecipeError(f"{folder} holds no finished run: neither it nor a folder in it has a {RESULT}.")
    return Side(folder.name if len(results) > 1 or not folder.name.startswith("seed") else _named(folder), folders, results)


def _named(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _compared(a: Side, b: Side, metric: str) -> Comparison | None:
    own, other = (
        Measured(
            of.label,
            {seed: float(values["test"]["last"][metric]) for seed, values in of.results.items()},
            {seed: read_scores(folder) for seed, folder in of.folders.items()},
        )
        for of in (a, b)
    )
    if len(own.values) == len(other.values) == 1:  # two runs are a pair, whatever their seeds
        (seed,) = other.values
        own = Measured(own.label, dict.fromkeys([seed], *own.values.values()), dict.fromkeys([seed], *own.scores.values()))
    if not own.values.keys() & other.values.keys():
        return None
    return compare(own, other, higher_is_better=a.any["higher_is_better"], resolve=None)


def _data(of: Side) -> Any:
    return of.any["data"].get("fingerprint")


def _differing(a: Side, b: Side) -> dict[str, tuple[Any, Any]]:
    import yaml

    trees = []
    for of in (a, b):
        path = next(iter(of.folders.values())) / "recipe.yaml"
        trees.append(_flat(yaml.safe_load(path.read_text("utf-8")) if path.is_file() else {}))
    names = [name for name in dict.fromkeys([*trees[0], *trees[1]]) if name != "seed" and not name.startswith("runtime.")]
    return {name: (trees[0].get(name), trees[1].get(name)) for name in names if trees[0].get(name) != trees[1].get(name)}


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping) or not tree:
        return {path: tree} if path else {}
    return {name: value for key, own in tree.items() for name, value in _flat(own, f"{path}.{key}" if path else key).items()}


def _warnings(a: Side, b: Side) -> list[str]:
    said = []
    if a.results.keys() != b.results.keys():
        seeds = [", ".join(map(str, sorted(of.results))) for of in (a, b)]
        said.append(f"The seeds differ: {seeds[0]} of {a.label}, {seeds[1]} of {b.label}; only common ones are paired.")
    protocols = [of.any.get("protocol") for of in (a, b)]
    if None not in protocols and protocols[0] != protocols[1]:
        said.append(f"The runs were made under other versions of the plugin protocol: {protocols[0]} and {protocols[1]}.")
    if a.any["data"].get("sizes") != b.any["data"].get("sizes"):
        said.append("The splits have other sizes, so the students saw other numbers of samples.")
    machines = [json.dumps({**of.any["environment"], "date": ""}, sort_keys=True) for of in (a, b)]
    if machines[0] != machines[1]:
        said.append("The runs were made on different machines or with different versions.")
    return said
