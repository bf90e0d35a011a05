"""Search every row's space with as many trials, by the metric on validation; the test split is not looked at.

    for each trial:
        ask every row's sampler for values
        train all rows with theirs, together, like the cells of a bench
        tell the samplers what was reached on validation

The search is seeded and its runs are repeatable, so one that was killed comes to the same trials, finds them finished, and goes
on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdzoo import digests, registry
from kdzoo.benchmark.execute.events import CellFailed, Event, OnEvent, Said, TeacherDone
from kdzoo.benchmark.execute.executor import Executor, Kept, on_this_machine
from kdzoo.benchmark.execute.failure import ERROR, forget
from kdzoo.benchmark.execute.job import Job
from kdzoo.benchmark.execute.scheduler import carry_out_all
from kdzoo.benchmark.execute.stopping import stopping
from kdzoo.benchmark.tune.found import FILE, FORMAT
from kdzoo.errors import Interrupted, MissingError, RecipeError
from kdzoo.extras import command

if TYPE_CHECKING:
    from kdzoo.benchmark.plan.bench_plan import BenchPlan
    from kdzoo.benchmark.tune.plan import Tuning
    from kdzoo.benchmark.tune.space import Space

PLACE = "tune"


def tune(
    recipe: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    methods: Sequence[str] | None = None,
    plugins: Sequence[str | Path] = (),
    on_event: OnEvent | None = None,
) -> Path:
    """Tune the rows of a bench recipe that has a section `bench.tune`.

    A row's first trial is the recipe's own values, where they are in its space; the others are asked of Optuna's TPE sampler
    (Bergstra et al., Algorithms for Hyper-Parameter Optimization, NeurIPS 2011).

    Args:
        recipe, overrides, methods, plugins: as for a bench.
        out: the folder that gets `<name of the bench>/tune/`; default `runtime.out`.
        workers: processes; with 1 all is done in this one. Default: as for a bench.
        on_event: called with the end of each teacher, each failure, and a sentence after each trial.

    Returns:
        The file `tuned.json`, which `bench.tuned` takes.

    Raises:
        MissingError: Optuna is not installed.
        RecipeError: no such section, no validation split, a grid, a row without a space.
        Interrupted: after SIGINT or SIGTERM; the same call goes on.
    """
    from kdzoo.benchmark.plan.bench_plan import make_plan  # torch comes with it
    from kdzoo.engine.files import write_json

    optuna = _optuna()
    tell = _without_test(on_event or (lambda event: None))
    for path in plugins:
        registry.load_file(path)

    def planned(values: Mapping[str, Mapping[str, Any]], seeds: Sequence[int] | None) -> BenchPlan:
        return make_plan(recipe, overrides, out=out, methods=methods, seeds=seeds, values=values, inside=PLACE)

    first = planned({}, None)
    tuning, recipes = _checked(first)
    searches = [
        _Search(optuna, label, tuning.space(label), settings, seed=tuning.seed)
        for label, settings in recipes.items()
        if tuning.space(label)
    ]
    file, workers = first.folder / FILE, first.workers(workers)
    with (
        first.held(lambda sentence: tell(Said(sentence))),
        stopping() as stopped,
        _in_the_end_closed(on_this_machine(tell, stopped, workers=workers, threads=first.threads, gpus=first.gpus)) as place,
    ):
        for number in range(tuning.trials):
            plan = planned({search.label: search.ask() for search in searches}, [tuning.seed])
            cells = _trained(plan, {search.label for search in searches}, place, workers, tell, stopped)
            for search in searches:
                search.tell(cells[search.label])
            write_json(file, _described(first, tuning.trials, searches))
            tell(Said(_round(number + 1, tuning.trials, searches)))
    return file


def _checked(plan: BenchPlan) -> tuple[Tuning, dict[str, Mapping[str, Any]]]:
    """The search that a recipe describes, and the settings of each row. Raises RecipeError if nothing can be chosen."""
    from kdzoo.engine.launch import opened

    if plan.grid.tuning is None:
        raise RecipeError("there is nothing to tune: the recipe has no `bench.tune` with `trials` and a `space` for each row.")
    if any(cell.point for cell in plan.grid.cells):
        raise RecipeError("a search is of one pair, without a grid: remove bench.pairs and bench.grid, or bench.tune.")
    recipes: dict[str, Mapping[str, Any]] = {cell.label: cell.recipe.settings for cell in plan.grid.cells}
    if not opened(next(iter(recipes.values()))).size("validation"):
        raise RecipeError("a search chooses on a validation split, and this recipe has none; set e.g. task.validation=0.1.")
    return plan.grid.tuning, recipes


def _trained(
    plan: BenchPlan, rows: set[str], place: Executor, workers: int, tell: OnEvent, stopped: threading.Event
) -> dict[str, Job]:
    """Train what is not finished of a trial of these rows, and of their teachers; the job of each row. Raises Interrupted."""
    from kdzoo.benchmark.plan.cohorts import gathered

    jobs = _needed(plan, rows)
    todo = [job for job in jobs if job.name not in plan.finished]
    for job in todo:
        forget(job.folder)
    carry_out_all(gathered(todo, workers=workers, most=plan.grid.cohort), Kept(place), tell, stopped)
    if stopped.is_set():
        raise Interrupted("interrupted; finished trials are kept, and the same command goes on from here.")
    return {job.row: job for job in jobs if job.seed is not None}


class _Search:
    """One row's sampler, and what its trials came to."""

    def __init__(self, optuna: Any, label: str, space: Space, settings: Mapping[str, Any], *, seed: int) -> None:
        own_seed = int(digests.of_text(f"{label} {seed}")[:8], 16)
        self.label, self.space = label, space
        self.study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=own_seed))
        own = {path: _at(settings, path) for path in space}
        if all(space[path].has(value) for path, value in own.items()):
            self.study.enqueue_trial(own)
        self.failed = optuna.trial.TrialState.FAIL
        self.asked: Any = None
        self.trials: list[dict[str, Any]] = []

    def ask(self) -> dict[str, Any]:
        """Path -> value of the next trial."""
        self.asked = self.study.ask()
        self.trials.append({"values": {path: part.suggested(self.asked, path) for path, part in self.space.items()}})
        return dict(self.trials[-1]["values"])

    def tell(self, job: Job) -> None:
        """Look at how the trial ended."""
        from kdzoo.engine.launch import finished

        result = finished(job.folder, job.identity)
        self.trials[-1]["identity"] = job.identity
        if result is None:
            self.trials[-1]["error"] = _sentence(job.folder)
            self.study.tell(self.asked, state=self.failed)
            return
        value = float(result.values["validation"]["best"])
        self.trials[-1] |= {"validation": value, "metric": result.values["metric"]}
        self.study.tell(self.asked, value if result.values["higher_is_better"] else -value)

    @property
    def best(self) -> dict[str, Any] | None:
        """The best trial so far, the earlier of equals."""
        done = [trial for trial in self.trials if "validation" in trial]
        number = next((t.number for t in self.study.best_trials), None) if done else None
        return None if number is None else self.trials[number]

    def described(self) -> dict[str, Any]:
        return {"space": {path: str(part) for path, part in self.space.items()}, "trials": self.trials, "best": self.best}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingError(f"kdzoo tune needs Optuna, which is not installed. Run: {command('tune')}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sentence(folder: Path) -> str:
    """Why the run in a folder failed."""
    try:
        return (folder / ERROR).read_text().partition("\n")[0]
    except OSError:
        return "no reason is on record"


def _at(settings: Any, path: str) -> Any:
    """The value at a path of a recipe; None if there is none."""
    for key in path.split("."):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings


def _without_test(tell: OnEvent) -> OnEvent:
    """A listener that hears no test metric of a trial."""

    def heard(event: Event) -> None:
        if isinstance(event, Said | CellFailed | TeacherDone):
            tell(event)

    return heard


def _needed(plan: BenchPlan, rows: set[str]) -> list[Job]:
    """The jobs of these rows, their teachers first."""
    by_name = {job.name: job for job in plan.jobs}
    wanted = [job.name for job in plan.jobs if job.row in rows and job.seed is not None]
    for name in wanted:
        wanted += [other for other in by_name[name].after if other not in wanted]
    return [job for job in plan.jobs if job.name in wanted]


@contextmanager
def _in_the_end_closed(place: Executor) -> Iterator[Executor]:
    """Whatever ends the search, its processes stop with it."""
    try:
        yield place
    except BaseException:
        place.close(stop=True)
        raise
    place.close(stop=False)


def _described(plan: BenchPlan, trials: int, searches: Sequence[_Search]) -> dict[str, Any]:
    rows = {search.label: search.described() for search in searches}
    return {"format": FORMAT, "name": plan.grid.name, "recipe": plan.grid.text, "trials": trials, "rows": rows}


def _round(number: int, trials: int, searches: Sequence[_Search]) -> str:
    """A line on the terminal for a trial of every row."""
    found = ((search.label, search.trials[-1].get("validation"), search.best) for search in searches)
    said = (
        f"{label} {'failed' if value is None else format(value, '.4g')}" + (f" (best {best['validation']:.4g})" if best else "")
        for label, value, best in found
    )
    return f"trial {number} of {trials}, on validation: {', '.join(said)}"
