"""The section `bench` of a recipe: the rows, pairs, seeds and grid of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdzoo.benchmark.plan.rows import PUBLISHED, REFERENCE, SEEDS
from kdzoo.benchmark.tune.plan import Tuning, tuning_of
from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.ranges import above
from kdzoo.recipe.interpolate import References
from kdzoo.recipe.layers import Layers
from kdzoo.recipe.load import SHORT
from kdzoo.recipe.read import METHODS, RECIPE
from kdzoo.recipe.schema import schema_of
from kdzoo.recipe.sections import Layout
from kdzoo.recipe.validate import Checker

NAME = "bench"
ITS_OWN = ("seed", NAME)
"""Settings of a recipe that a bench gives its cells."""
OF_CELLS = ("methods", "grid")


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a bench recipe says in `bench`.

    Attributes:
        methods: row label -> what the row changes. Its `methods` replace the recipe's, anything else is merged.
        seeds: each row is trained once with each; at one seed all rows start from the same student and see the same samples.
        baseline: the row that others are compared with, seed by seed; None takes the student alone.
        pairs: label -> what a pair (or data set) changes in the recipe before a row does, such as `student`, `teacher`, `task`;
            every row is trained with every pair, and rows are ranked over them.
        grid: path -> values; every row is trained with every combination, which makes rows of its own.
        also: metrics that get a column besides the task's own, such as `top5` or `hits10`.
        notes: sentences for the report.
        cohort: the most runs that train together, on one pass over the data and one teacher forward; None takes as many as are
            alike and fit into memory, 1 trains each by itself.
        published: a pair of the table of published numbers, whose methods the rows' labels are.
        declared: rows whose comparison with the baseline is what the bench is for; it counts as declared beforehand if none of
            their cells was finished when this was first said.
        controls: rows to have besides (see `controls`), by label; `[all]` takes all of them.
        tune: `trials`, `seed` and `space` of a search (see `kdzoo.benchmark.tune`). tuned: the file that one wrote.
        resolve: a difference worth seeing, in the metric's unit; None takes 0.2 of percents and 0.002 of fractions.
    """

    methods: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0, 1, 2)
    baseline: str | None = None
    pairs: Mapping[str, Any] = field(default_factory=dict)
    grid: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()
    notes: Sequence[str] = ()
    cohort: int | None = None
    published: str | None = None
    declared: Sequence[str] = ()
    controls: Sequence[str] = ()
    resolve: float | None = None
    tune: Mapping[str, Any] | None = None
    tuned: str | None = None

    def __post_init__(self) -> None:
        if self.tune is not None:
            tuning_of(self.tune)
        above(0, resolve=self.resolve)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must name at least one seed, and each of them once, got {list(self.seeds)}")
        above(0, cohort=self.cohort)
        for path, values in self.grid.items():
            if path.partition(".")[0] in ITS_OWN:
                raise ValueError(f"grid.{path} {_belongs(path)}")
            if not isinstance(values, list) or not values:
                raise ValueError(f"grid.{path} must be a list of values, got {values!r}")
        for label, pair in self.pairs.items():
            _check_changes("pairs", label, pair)
            for key in [key for key in (METHODS, RECIPE, SEEDS, REFERENCE) if key in (pair or {})]:
                raise ValueError(f"pairs.{label}.{key} is a row's: write it in bench.methods")
        for label, row in self.methods.items():
            _check_changes("methods", label, row)
            seeds = (row or {}).get(SEEDS, 1)
            if not isinstance(seeds, int) or isinstance(seeds, bool) or seeds < 1:
                raise ValueError(f"methods.{label}.seeds says how many of the bench's seeds the row takes, got {seeds!r}")

    def seeds_of(self, label: str) -> Sequence[int]:
        """A row's seeds: the bench's, or as many of them, from the first on, as the row says."""
        return self.seeds[: (self.methods.get(label) or {}).get(SEEDS)]

    def published_pair(self, pair: str | None) -> str | None:
        """The pair of the table of published numbers that a pair of the bench is."""
        own = None if pair is None else (self.pairs[pair] or {}).get(PUBLISHED)
        return own if own is not None else self.published

    @property
    def tuning(self) -> Tuning | None:
        return None if self.tune is None else tuning_of(self.tune)


def _check_changes(where: str, label: str, changes: Any) -> None:
    """Refuse a row or pair that is none, and keys that change nothing: the bench's own, and misspelt ones that are null."""
    if not label.strip():
        raise ValueError(f"{where} has an entry without a label; give it one")
    if "," in label:
        raise ValueError(f"{where}.{label}: a label has no comma, as `--methods A,B` puts commas between labels")
    if changes is not None and not isinstance(changes, dict):
        raise ValueError(f"{where}.{label} must be a mapping of what it changes, got {changes!r}")
    known = {*schema_of(Layout).fields, SHORT, RECIPE, PUBLISHED, SEEDS}
    for key, value in (changes or {}).items():
        if key in ITS_OWN:
            raise ValueError(f"{where}.{label}.{key} {_belongs(key)}")
        if value is None and key not in known:
            raise ValueError(
                f"{where}.{label}.{key} is no setting of a recipe, so null removes nothing; {did_you_mean(key, known)}"
            )


def _belongs(path: str) -> str:
    return "is the bench's own: write bench.seeds" if path == "seed" else "is the bench's own: a row or a grid cannot change it"


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_section(layers: Layers, source: str, seeds: Sequence[int] | None = None) -> Section:
    """The section of a recipe, checked; `seeds` in place of its own. Raises RecipeError."""
    if seeds is not None and (isinstance(seeds, str) or not isinstance(seeds, Sequence) or not all(map(_is_seed, seeds))):
        raise RecipeError(f"seeds must be a list of whole numbers from 0 on, got {seeds!r}; give seeds=[0, 1, 2].")
    given = layers.tree.get(NAME)
    if not isinstance(given, dict) or not given.get("methods"):
        raise RecipeError(
            f"{source} is no bench recipe: it lacks `bench.methods`, a mapping from the label of a row to what it changes; "
            "see `kdzoo show recipe quickstart`."
        )
    # What rows and grid refer to is known once they are laid over the recipe.
    here = {key: value for key, value in given.items() if not (key in OF_CELLS and isinstance(value, dict))}
    given = given | References(layers.tree, {}, layers.where).resolve(here, NAME)
    checker = Checker(layers.tree, layers, lambda value, path: value)
    settings = checker.section(schema_of(Section, owner=NAME), given, NAME)
    try:
        return Section(**settings | ({} if seeds is None else {"seeds": seeds}))
    except ValueError as error:
        path = f"{NAME}.{str(error).partition(' ')[0]}"
        raise RecipeError(f"{NAME}.{error}{layers.where(path) or layers.where(NAME)}.") from None
