"""The laws of analyses."""

from __future__ import annotations

import copy
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from kdzoo import registry
from kdzoo.analysis.chosen import chosen
from kdzoo.analysis.drawing import drawn, pictures
from kdzoo.analysis.measure import Measurement, measure
from kdzoo.analysis.rebuild import read
from kdzoo.analysis.render import jsonable
from kdzoo.analysis.view import view
from kdzoo.engine.launch import launch
from kdzoo.errors import WeakTeacherWarning
from kdzoo.protocol.analysis import Analysis, Answers, Findings, Measured, MeasuredModel, Wants
from kdzoo.testing.laws.helpers import same_tree
from kdzoo.testing.tiny import tiny_recipe

RELATIVE, ABSOLUTE = 1e-5, 1e-7
EPOCHS = {"train": {"epochs": 3, "batch_size": 12}}


class AnalysisContract:
    """Inherit and set `analysis`.

    Attributes:
        analysis: the registered name; `settings` its settings in the tests.
        recipe: top-level sections of the tiny recipe that it analyzes the runs of.
    """

    analysis: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    recipe: ClassVar[Mapping[str, Any]] = {}

    def made(self) -> Analysis:
        return chosen({self.analysis: self.settings})[self.analysis]

    def seen(self, *others: Wants) -> list[Measured]:
        """Tiny runs as the analysis sees them, measured for it and others."""
        analysis = self.made()
        every = {"own": analysis.wants()} | {f"other{number}": other for number, other in enumerate(others)}
        measured = [_measured(json.dumps(self.recipe), seed, _Hashed(every)) for seed in range(analysis.fewest)]
        return [view(each, analysis.wants(), f"run {number}") for number, each in enumerate(measured)]

    def findings(self, runs: list[Measured]) -> Findings:
        found = self.made().analyze(runs)
        assert isinstance(found, Findings)
        return found

    def test_it_is_registered(self) -> None:
        assert registry.get("analyses", self.analysis)

    def test_its_values_are_json_with_names(self) -> None:
        values = self.findings(self.seen()).values
        assert values, "the analysis found nothing"
        assert all(isinstance(name, str) for name in _names(values))
        json.dumps(jsonable(values), allow_nan=False)

    def test_it_is_pure(self) -> None:
        runs = self.seen()
        before = copy.deepcopy(runs)
        first, second = self.findings(runs), self.findings(runs)
        assert jsonable(first.values) == jsonable(second.values), "two analyses of the same runs differ"
        same = all(same_tree(_tensors(after), _tensors(own)) for after, own in zip(runs, before, strict=True))
        assert same, "the analysis changed what it was given"

    def test_the_order_of_samples_does_not_matter(self) -> None:
        runs = self.seen()
        _assert_close(self.findings([_shuffled(run) for run in runs]).values, self.findings(runs).values)

    def test_it_sees_the_same_beside_a_greedy_analysis(self) -> None:
        """What others want of the same measurement changes nothing."""
        greedy = Wants(
            splits=("train", "validation", "test"),
            taps=("stages", "pooled"),
            classifier=True,
            module=True,
            epochs=True,
            draws=3,
        )
        own = self.made().wants()
        alone, beside = self.seen(), self.seen(replace(greedy, teacher=own.teacher))
        _assert_close(self.findings(beside).values, self.findings(alone).values)

    def test_it_reads_all_that_it_declares(self) -> None:
        """Without any one thing that it wants, it must find something else, or complain."""
        runs = self.seen()
        before = jsonable(self.findings(runs).values)
        for what, without in _takings(self.made().wants(), runs[0]):
            try:
                after = jsonable(self.findings([without(run) for run in runs]).values)
            except Exception:  # however it fails without what it declared, it noticed
                continue
            assert after != before, f"it wants {what}, but does not read it"

    def test_its_figures_say_what_they_show(self) -> None:
        found = self.findings(self.seen()).figures
        assert len({figure.name for figure in found}) == len(found), "two figures have one name"
        for figure in found:
            assert figure.name.replace("-", "_").replace("_", "a").isalnum(), f"{figure.name!r} is no file name"
            assert figure.title, f"{figure.name} has no title"
            for panel in figure.panels:
                assert panel.title, f"a panel of {figure.name} has no title"
                assert panel.marks, f"panel {panel.title!r} of {figure.name} is empty"
                assert panel.y, f"panel {panel.title!r} of {figure.name} does not say what its y axis is"
                assert panel.x or panel.categories, f"panel {panel.title!r} of {figure.name} does not say what its x axis is"

    def test_its_figures_are_drawn_with_the_legend_outside_the_data(self) -> None:
        for figure in self.findings(self.seen()).figures:
            files = pictures(figure)
            assert files["png"].startswith(b"\x89PNG")
            assert b"<svg" in files["svg"]
            canvas = drawn(figure)
            canvas.draw_without_rendering()
            boxes = [axes.get_window_extent() for axes in canvas.axes]
            legends = [legend.get_window_extent() for legend in canvas.legends]
            assert not any(box.overlaps(legend) for box in boxes for legend in legends), (
                f"the legend of {figure.name} is in the way"
            )

    def test_its_tables_have_a_field_for_each_header(self) -> None:
        for table in self.findings(self.seen()).tables:
            assert table.title
            assert all(len(row) == len(table.headers) for row in table.rows), f"a row of {table.title!r} is too long or short"


class _Hashed(dict[str, Wants]):
    """Wants by name, as a key of the cache."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(repr(sorted(self.items(), key=lambda item: item[0])))


@cache
def _measured(recipe: str, seed: int, wants: _Hashed) -> Measurement:
    return measure(read(finished_tiny_run(recipe, seed)), wants)


@cache
def finished_tiny_run(recipe: str = "{}", seed: int = 0, method: str = "kd") -> Path:
    """The folder of a finished run of `method` on 44 digits, with a checkpoint of each of its three epochs.

    Args: recipe: further sections, as JSON.
    """
    out = Path(tempfile.mkdtemp(prefix="kdzoo-analysis-"))
    sections = {"seed": seed, **EPOCHS, **json.loads(recipe)}
    sections["runtime"] = {"device": "cpu", "out": str(out), "keep": 9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeakTeacherWarning)  # an untrained teacher is as good as any here
        return launch(tiny_recipe(method, recipe=sections)).folder


def _takings(wants: Wants, run: Measured) -> Iterator[tuple[str, Callable[[Measured], Measured]]]:
    """Each thing that the analysis declared, and how to take it away."""
    for split in wants.splits:
        yield f"the split {split!r}", partial(_without_split, split=split)
    for tap in {tap for answers in run.student.splits.values() for tap in answers.features}:
        yield f"the tap {tap!r}", partial(_without_tap, tap=tap)
    if wants.classifier:
        yield "the classifier", lambda r: _each(r, lambda m: replace(m, classifier=None))
    if wants.module:
        yield "the module", lambda r: _each(r, lambda m: replace(m, module=None))
    if wants.teacher:
        yield "the teacher", lambda r: replace(r, teacher=None)
    if wants.epochs:
        yield "earlier epochs", lambda r: replace(r, epochs={})
    if wants.draws:
        yield "draws", lambda r: _answers(r, lambda a: replace(a, drawn=None))


def _without_split(run: Measured, *, split: str) -> Measured:
    return _each(run, lambda model: replace(model, splits={k: v for k, v in model.splits.items() if k != split}))


def _without_tap(run: Measured, *, tap: str) -> Measured:
    return _answers(run, lambda own: replace(own, features={k: v for k, v in own.features.items() if k != tap}))


def _each(run: Measured, change: Callable[[MeasuredModel], MeasuredModel]) -> Measured:
    """The run with all its models changed."""
    teacher = None if run.teacher is None else change(run.teacher)
    return replace(run, student=change(run.student), teacher=teacher, epochs={e: change(m) for e, m in run.epochs.items()})


def _answers(run: Measured, change: Callable[[Answers], Answers]) -> Measured:
    return _each(run, lambda model: replace(model, splits={split: change(own) for split, own in model.splits.items()}))


def _shuffled(run: Measured) -> Measured:
    """The samples of each split in another order, the same for all models."""

    def mixed(answers: Answers) -> Answers:
        order = torch.randperm(len(answers.index), generator=torch.Generator().manual_seed(1))
        return replace(
            answers,
            index=answers.index[order],
            logits=answers.logits[order],
            target=answers.target[order] if answers.target is not None else None,
            features={tap: feature[order] for tap, feature in answers.features.items()},
            drawn=answers.drawn[order] if answers.drawn is not None else None,
        )

    return _answers(run, mixed)


def _tensors(value: Any) -> Any:
    """All tensors of a measured run, the parameters of its modules among them."""
    if isinstance(value, torch.nn.Module):
        return dict(value.state_dict())
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _tensors(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _tensors(item) for key, item in value.items()}
    return value if isinstance(value, Tensor) else None


def _names(values: Any) -> Iterator[Any]:
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield name
            yield from _names(value)


def _assert_close(a: Any, b: Any, path: str = "values") -> None:
    """Equal up to the order of sums."""
    a, b = (jsonable(each) if path == "values" else each for each in (a, b))
    assert type(a) is type(b), f"{path}: {a!r} and {b!r}"
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for name in a:
            _assert_close(a[name], b[name], f"{path}.{name}")
    elif isinstance(a, list):
        assert len(a) == len(b), path
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            _assert_close(x, y, f"{path}[{number}]")
    elif isinstance(a, float):
        assert math.isclose(a, b, rel_tol=RELATIVE, abs_tol=ABSOLUTE), f"{path}: {a} and {b}"
    else:
        assert a == b, f"{path}: {a!r} and {b!r}"
