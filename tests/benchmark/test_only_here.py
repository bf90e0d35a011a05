"""Plugins and objects that only this process has: those that a row uses keep a bench here, the others are nobody's business."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from kdzoo import registry
from kdzoo.benchmark import BenchStarted, Said, bench
from kdzoo.benchmark.plan.bench_plan import BenchPlan, make_plan
from kdzoo.errors import RecipeError
from kdzoo.optimizers import SGD
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import term

WHERE = {
    "a method": ("methods", "bench.methods.dist.methods.own", {}),
    "an optimizer": ("optimizers", "optimizers.student", "own"),
    "a method of the teacher's recipe": ("methods", "teacher.recipe.methods.own", {}),
}


class Own(Method):
    """The labels' loss."""

    @term()
    def own(self, step: Any) -> Any:
        return step.supervise(step.student)


def planned(recipe: dict[str, Any], kind: str, path: str, value: Any) -> BenchPlan:
    """The plan of a recipe that uses a plugin of this process at a path."""
    registry.register(kind, "own", {"methods": Own, "optimizers": SGD}[kind])
    *parents, last = path.split(".")
    place = recipe
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return make_plan(recipe, [])


def test_a_plugin_that_no_row_uses_changes_nothing(tiny: dict[str, Any]) -> None:
    registry.register("methods", "own", Own)
    plan = make_plan(tiny, [])
    assert plan.only_here == []
    assert plan.workers(3) == 3


@pytest.mark.parametrize("case", WHERE)
def test_a_plugin_that_a_row_uses_keeps_all_in_this_process(case: str, tiny: dict[str, Any]) -> None:
    plan = planned(tiny, *WHERE[case])
    assert plan.only_here == ["own"]
    assert plan.workers(3) == plan.workers(None) == 1


def test_an_object_in_a_recipe_keeps_all_in_this_process(tiny: dict[str, Any]) -> None:
    tiny["student"] = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    assert make_plan(tiny, []).only_here == ["student"]


def test_a_cluster_is_refused_before_it_is_looked_for(tiny: dict[str, Any]) -> None:
    tiny["student"] = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(RecipeError, match=r"student: only this process has it, so the cluster's machines lack it"):
        bench(tiny, executor="ray", address="127.0.0.1:1")


def test_processes_that_were_asked_for_in_vain_are_said(tiny: dict[str, Any]) -> None:
    registry.register("methods", "own", Own)
    tiny["bench"] |= {"methods": {"own": {"methods": {"own": {}}}}, "seeds": [0]}
    tiny["bench"].pop("baseline")
    events: list[Any] = []
    bench(tiny, workers=2, on_event=events.append)
    assert [event.workers for event in events if isinstance(event, BenchStarted)] == [1]
    assert [e.sentence for e in events if isinstance(e, Said) and "only this process" in e.sentence] == [
        "own: only this process has it, so that all is done here, in place of 2 processes."
    ]
