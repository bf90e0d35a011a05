"""From names of analyses and run folders to findings: every run is measured once, for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdzoo import digests
from kdzoo.analysis.chosen import KIND, chosen, wants_of
from kdzoo.analysis.measure import Measurement, measure
from kdzoo.analysis.rebuild import Finished, read
from kdzoo.analysis.view import view
from kdzoo.benchmark.report.analyses import FOLDER
from kdzoo.benchmark.report.records import PLAN, read_records
from kdzoo.errors import RecipeError
from kdzoo.protocol.analysis import Analysis, Findings
from kdzoo.protocol.blame import hook_of, returned


@dataclass(frozen=True)
class Place:
    """A run to analyze: its folder, and what it is called."""

    folder: Path
    name: str


def analyze(
    analyses: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
    runs: str | Path | Sequence[str | Path],
    *,
    overrides: Sequence[str] = (),
    labels: Sequence[str] = (),
    weights: str = "last",
    device: str | None = None,
    out: str | Path | None = None,
    write: bool = True,
) -> dict[str, Findings]:
    """Analyze finished runs, as `kdzoo analyze` does, and write what was found.

    Args:
        analyses: names, or names with settings.
        runs: run folders. The folder of a bench stands for its finished rows at their first seed.
        overrides: `name.setting=value`, as on the command line.
        labels: what the runs are called; default their recipes' names.
        weights: the `last` epoch's, or those of the epoch that was `best` on validation.
        device: in place of the one in the recipe.
        out: the folder that gets a folder for each analysis; default `analyses` in the run's or bench's folder, and for
            several runs `analyses` here, under a name that depends on them.
        write: False writes nothing.

    Returns:
        Findings by name of the analysis.

    Raises:
        RecipeError, CapabilityError, MissingError, PluginError: with nothing written.
    """
    from kdzoo.analysis.render import written

    named = {analyses: {}} if isinstance(analyses, str) else analyses
    settings = dict(named) if isinstance(named, Mapping) else {name: {} for name in named}
    folders = [runs] if isinstance(runs, str | Path) else list(runs)
    made = chosen(settings, overrides)
    places = called(places_of(folders), labels)
    _enough(made, places)
    found = found_in(made, places, weights=weights, device=device)
    if write:
        for name, findings in found.items():
            target = target_of(name, folders, Path(out) if out else None)
            written(target, name, made[name], findings, places)
    return found


def found_in(
    analyses: Mapping[str, Analysis], places: Sequence[Place], *, weights: str = "last", device: str | None = None
) -> dict[str, Findings]:
    """The findings of each analysis on all runs; nothing is written."""
    wants = {name: wants_of(name, analysis) for name, analysis in analyses.items()}
    finished: list[Finished] = [read(place.folder, weights=weights, device=device) for place in places]
    measured: list[Measurement] = [measure(each, wants) for each in finished]
    findings = {}
    for name, analysis in analyses.items():
        seen = [view(each, wants[name], place.name) for each, place in zip(measured, places, strict=True)]
        with hook_of(f"{KIND}.{name}", "analyze"):
            findings[name] = returned(analysis.analyze(seen), Findings, f"{KIND}.{name}", "analyze")
    return findings


def places_of(folders: Sequence[str | Path]) -> list[Place]:
    """The runs that the folders stand for, under the names of their recipes or of the bench's rows."""
    found: list[Place] = []
    for each in folders:
        folder = Path(each)
        found += _rows(folder) if (folder / PLAN).is_file() else [Place(folder, "")]
    return [Place(p.folder, p.name or read(p.folder).name) for p in found]


def called(places: Sequence[Place], labels: Sequence[str]) -> list[Place]:
    """The runs under their labels; two of one name are told apart by their folders."""
    if labels and len(labels) != len(places):
        raise RecipeError(
            f"--labels names {len(labels)} runs, but there are {len(places)}: give one name for each, with commas."
        )
    names = list(labels) or [place.name for place in places]
    twice = {name for name in names if names.count(name) > 1}
    told = [f"{name} ({p.folder.name})" if name in twice else name for name, p in zip(names, places, strict=True)]
    if len(set(told)) < len(told):
        again = next(name for name in told if told.count(name) > 1)
        raise RecipeError(f"Two runs are called {again!r}: give each its own name by --labels.")
    return [Place(place.folder, name) for place, name in zip(places, told, strict=True)]


def target_of(name: str, folders: Sequence[str | Path], out: Path | None) -> Path:
    """Where the findings of an analysis go."""
    if out is not None:
        return out / name
    if len(folders) == 1:
        return Path(folders[0]) / FOLDER / name
    which = digests.of_text(" ".join(str(Path(folder).resolve()) for folder in folders))[:8]
    return Path(FOLDER) / f"{name}-{which}"


def _rows(bench: Path) -> list[Place]:
    """The finished rows of a bench, each at its first seed."""
    rows: dict[str, Place] = {}
    for cell in read_records(bench).done:
        rows.setdefault(cell.row, Place(cell.folder, cell.row))
    if not rows:
        raise RecipeError(f"the bench in {bench} has no finished runs yet; start it again by `kdzoo bench`, it resumes.")
    return list(rows.values())


def _enough(analyses: Mapping[str, Analysis], places: Sequence[Place]) -> None:
    for name, analysis in analyses.items():
        if len(places) < analysis.fewest:
            raise RecipeError(
                f"analyses.{name} compares at least {analysis.fewest} runs, got {len(places)}: name more of them."
            )
