"""From a bench recipe to its cells: rows x pairs x grid values x seeds, every one loaded and checked like any recipe."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kdzoo import digests
from kdzoo.benchmark.plan import controls
from kdzoo.benchmark.plan.rows import BARE_STUDENT, PUBLISHED, changed, is_alone
from kdzoo.benchmark.plan.section import NAME, Section, read_section
from kdzoo.benchmark.plan.slug import slug
from kdzoo.benchmark.report.published import chosen
from kdzoo.benchmark.report.records import PAIR
from kdzoo.benchmark.tune.found import chosen_values, read_found
from kdzoo.benchmark.tune.plan import Tuning, check_rows
from kdzoo.engine.components import make
from kdzoo.errors import KdzooError, RecipeError, did_you_mean
from kdzoo.recipe.find import OWN
from kdzoo.recipe.identity import relevant
from kdzoo.recipe.layers import Layers, Origin
from kdzoo.recipe.load import Recipe, resolved
from kdzoo.recipe.overrides import apply
from kdzoo.recipe.read import read

ALONE = "student alone"
REFERENCE_SEED = 0
PARTS = ("methods", "teachers", "learners")


@dataclass(frozen=True)
class Cell:
    """One run of a bench: a row as the recipe labels it, a point (the pair, and path -> value of the grid), and a seed.

    Attributes:
        published: the name of the row's number in the table of published ones.
    """

    label: str
    point: Mapping[str, Any]
    seed: int
    recipe: Recipe
    published: str | None = None

    @property
    def row(self) -> str:
        """What the leaderboard calls its row: paths of the grid by their last keys, unless two would be the same."""
        last = [path.rpartition(".")[2] for path in self.point]
        names = last if len(set(last)) == len(last) else list(self.point)
        values = dict(zip(names, self.point.values(), strict=True))
        return ", ".join([self.label, *(str(value) if name == PAIR else f"{name}={value}" for name, value in values.items())])

    @property
    def name(self) -> str:
        """What sentences and logs call it."""
        return f"{self.row}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Its run folder within the bench's, which the run's identity follows in the name."""
        values = json.dumps(self.point, sort_keys=True, default=str)
        grid = f"-{digests.of_text(values)[:8]}" if self.point else ""
        return f"cells/{slug(self.label)}/seed{self.seed}{grid}"


@dataclass(frozen=True)
class Grid:
    """A bench recipe with its cells, seed by seed, so that an interrupted bench holds whole seeds.

    Attributes:
        name, description: of the bench; command: what does the same again, '' if no command does.
        text: its recipe as YAML, with all that it extends.
        cohort: the most runs that train together, None for no limit.
        alone, baseline: labels of the student-alone row and of the one that others are compared with.
        declared: rows whose comparison with the baseline was named. resolve: a difference worth seeing.
        without: controls that are not among the rows.
        references: row -> its recipe at seed 0, so that rows of other seeds can be told to be the same row.
        tuning: the search that the recipe describes. tuned: row -> what a search found for it.
    """

    name: str
    description: str
    command: str
    text: str
    also: Sequence[str]
    notes: Sequence[str]
    cells: Sequence[Cell]
    references: Mapping[str, Recipe]
    alone: str
    baseline: str
    cohort: int | None = None
    declared: Sequence[str] = ()
    resolve: float | None = None
    without: Sequence[str] = ()
    tuning: Tuning | None = None
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def published(self) -> dict[str, str]:
        """Row -> the name of its number in the table of published ones."""
        return {cell.row: cell.published for cell in self.cells if cell.published is not None}


def expand(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    sections: Mapping[str, Any] | None = None,
    values: Mapping[str, Mapping[str, Any]] | None = None,
) -> Grid:
    """All cells of a bench recipe, checked.

    Args:
        methods: only these rows (and the baseline, and the student alone).
        seeds: instead of the recipe's.
        sections: laid over the recipe, whose rows are laid over them (what is given in Python).
        values: label of a row -> path -> value, of a trial; default: what `bench.tuned` found.

    Raises:
        RecipeError, CapabilityError, PluginError: with the path in the recipe; of a row it starts with `bench.methods.<row>`.
    """
    is_trial = values is not None
    layers = read(recipe, folder=Path.cwd())
    if sections:
        layers = changed(layers, sections, Origin("the arguments of kdzoo.bench", Path.cwd()))
    apply(layers, overrides)
    source = "the given mapping" if isinstance(recipe, Mapping) else str(recipe)
    text = Recipe(layers.tree, source).yaml()
    section = read_section(layers, source, seeds)
    by_pair = {pair: _rows(layers, section, pair, Origin(source, Path.cwd())) for pair in section.pairs or [None]}
    rows, alone = next(iter(by_pair.values()))
    if any(other != alone for _, other in by_pair.values()):
        raise RecipeError(f"bench.pairs: {alone!r} is the student alone with some of them only; leave the teacher to the rows.")
    baseline = _known(section.baseline or alone, rows, "bench.baseline")
    wanted = {*(rows if methods is None else [_known(label, rows, "the chosen rows") for label in methods]), alone, baseline}
    declared = [_known(label, rows, "bench.declared") for label in section.declared]
    tuned = read_found(section.tuned) if section.tuned is not None and not is_trial else {}
    if values is None:
        values = {label: chosen_values(own) for label, own in tuned.items()}
    if section.tuning is not None:
        check_rows(section.tuning, list(rows), alone)
    loaded = {pair: own for pair, (own, _) in by_pair.items()}
    cells = list(_cells(section, loaded, wanted, values))
    if not is_trial:  # two rows may come to the same values, each has its own folder
        check_distinct((cell.name, _settings(cell)) for cell in cells)
    references = {cell.row: cell.recipe for cell in cells if cell.seed == REFERENCE_SEED}
    if len(references) < len({cell.row for cell in cells}):
        references = {
            cell.row: cell.recipe for cell in _cells(replace(section, seeds=[REFERENCE_SEED]), loaded, wanted, values)
        }
    again = not isinstance(recipe, Mapping) and not sections and methods is None and seeds is None
    command = shlex.join(["kdzoo", "bench", source, *overrides]) if again else ""
    name, description = (str(layers.tree.get(key) or default) for key, default in (("name", "bench"), ("description", "")))
    return Grid(
        name=name,
        description=description,
        command=command,
        text=text,
        also=section.also,
        notes=section.notes,
        cells=cells,
        references=references,
        alone=alone,
        baseline=baseline,
        cohort=section.cohort,
        declared=declared,
        resolve=section.resolve,
        without=[label for label in controls.known() if label not in rows],
        tuning=section.tuning,
        tuned=tuned,
    )


def _cells(
    section: Section,
    by_pair: Mapping[str | None, Mapping[str, Layers]],
    wanted: Collection[str],
    values: Mapping[str, Mapping[str, Any]],
) -> Iterator[Cell]:
    """Every wanted row at every seed, pair and point of the grid, with the number published for it."""
    points = [dict(zip(section.grid, each, strict=True)) for each in itertools.product(*section.grid.values())]
    numbers = {
        pair: chosen({label: (section.methods.get(label) or {}).get(PUBLISHED) for label in rows}, section.published_pair(pair))
        for pair, rows in by_pair.items()
    }
    for seed in section.seeds:
        for (pair, rows), point in itertools.product(by_pair.items(), points):
            for label, row in rows.items():
                if label in wanted and seed in section.seeds_of(label):
                    at = ({} if pair is None else {PAIR: pair}) | point
                    recipe = _loaded(row, label, pair, {**values.get(label, {}), **point, "seed": seed})
                    yield Cell(label, at, seed, recipe, numbers[pair].get(label))


def check_distinct(runs: Iterable[tuple[str, str]], *, by: str = "") -> None:
    """Refuse two runs (name, key) with one key: the second would tell nothing, and look like evidence.

    Args: by: what the sentence calls the key, where it says it.
    """
    known: dict[str, str] = {}
    for name, key in runs:
        if key in known:
            shown = f" ({by} {key})" if by else ""
            raise RecipeError(
                f"{known[key]} and {name} are the same run{shown}: all that could change a result is equal. Remove one of the "
                "rows, or give it the setting that it should differ in."
            )
        known[key] = name


def _settings(cell: Cell) -> str:
    """All that may change its result, but for what is in files."""
    return json.dumps(relevant(cell.recipe.settings), sort_keys=True, default=lambda own: f"{type(own)} {id(own)}")


def _rows(layers: Layers, section: Section, pair: str | None, source: Origin) -> tuple[dict[str, Layers], str]:
    """The recipe of each row by label, controls and the student alone among them, with a pair; and that last one's label."""
    labels: dict[str, str] = {}
    for label in section.methods:
        if labels.setdefault(slug(label), label) != label:
            raise RecipeError(f"bench.methods: {labels[slug(label)]!r} and {label!r} would share a folder; rename one of them.")
    written = {label: layers.origin(f"{NAME}.methods.{label}") or source for label in section.methods}
    places = {label: layers.origin(f"{NAME}.methods.{label}.recipe") for label in section.methods}
    own = layers.copy()
    own.remove(NAME)
    if pair is not None:
        with _named(f"pairs.{pair}"):
            own = changed(own, section.pairs[pair] or {}, layers.origin(f"{NAME}.pairs.{pair}") or source)
    rows: dict[str, Layers] = {}
    for label, row in section.methods.items():
        with _named(f"methods.{label}", pair):
            rows[label] = changed(own, row or {}, written[label], folder=(places[label] or written[label]).folder)
    alone = next((label for label, row in rows.items() if is_alone(row.tree)), None)
    if alone is None and ALONE in rows:
        raise RecipeError(f"bench.methods.{ALONE} must be hard_label without a teacher, as its label says; relabel it.")
    if alone is None:
        rows = {ALONE: changed(own, BARE_STUDENT, Origin(source.text, source.folder, OWN)), **rows}
    return rows | _controls(own, section, rows, Origin(f"the controls of {source.text}", Path.cwd())), alone or ALONE


def _controls(layers: Layers, section: Section, rows: Mapping[str, Layers], source: Origin) -> dict[str, Layers]:
    """The rows of the controls that the section wants."""
    found: dict[str, Layers] = {}
    for label, row in controls.rows(section.controls, rows).items():
        with _named(f"methods.{label}"):
            found[label] = changed(layers, row, source)
            if label == controls.LONGER:
                own = resolved(layers.copy(), source.text)
                found[label].put("train.epochs", controls.equal_epochs(own.settings), source)
    return found


def _loaded(row: Layers, label: str, pair: str | None, values: Mapping[str, Any]) -> Recipe:
    own = row.copy()
    with _named(f"methods.{label}", pair):
        for key, value in values.items():
            _check_part(row, key)
            own.put(key, value, Origin(NAME, Path.cwd()))
        recipe = resolved(own, f"bench.methods.{label}")
        make(recipe.settings)
    return recipe


def _check_part(row: Layers, path: str) -> None:
    """Refuse a path into a method, teacher or the like that the row does not have: setting it would add one."""
    section, _, rest = path.partition(".")
    known = row.tree.get(section)
    name = rest.partition(".")[0]
    if section in PARTS and name and not (isinstance(known, Mapping) and name in known):
        raise RecipeError(
            f"there is no {path}, for it has no {section}.{name}; {did_you_mean(name, known or ())} A grid or a search changes "
            "what a row has; give a row of its own to what only some have."
        )


@contextmanager
def _named(part: str, pair: str | None = None) -> Iterator[None]:
    """Errors inside say which row and pair they are about."""
    try:
        yield
    except KdzooError as error:
        raise type(error)(f"bench.{part}{'' if pair is None else f' with pairs.{pair}'}: {error}") from None


def _known(label: str, rows: Mapping[str, Any], where: str) -> str:
    if label not in rows:
        raise RecipeError(f"{where}: there is no row {label!r}; {did_you_mean(label, rows)}")
    return label
