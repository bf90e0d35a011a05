"""An optimizer that wants its gradients in parts gets them, and their sum is the gradient of the total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.gradient_groups import GradientGroups
from kdzoo.engine.training_step import train_step
from kdzoo.errors import PluginError, RecipeError
from kdzoo.protocol.roles import REST
from kdzoo.testing import first_window, tiny_recipe, tiny_run

STAGES = {"student": {"use": "tiny_cnn", "widths": [4, 8]}}
METHODS: dict[str, dict[str, Any]] = {
    "kd": {},
    "dkd": {},
    "fitnets_joint": {},  # an adapter of its own
    "vid": {"recipe": STAGES},
    "dist": {"whole": True},
    "crd": {"settings": {"negatives": 8, "width": 8}},
    "dml": {},  # two learners
    "wsld": {"methods": {"kd": {}}},  # three methods
    "sskd": {"settings": {"head_epochs": 0}, "whole": True},
}
Seen = dict[str, dict[str, Tensor]]


class Noting(torch.optim.Optimizer):
    """Notes what it is given, and moves nothing."""

    parts: Mapping[str, Mapping[nn.Parameter, Tensor]] = {}
    given: list[tuple[list[Tensor | None], dict[str, list[Tensor | None]]]]

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.given = []

    def step(self, closure: Any = None) -> None:
        parameters = self.param_groups[0]["params"]
        parts = {name: [_copied(kept.get(p)) for p in parameters] for name, kept in self.parts.items()}
        self.given.append(([_copied(p.grad) for p in parameters], parts))


def _copied(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()


class Plain:
    kdzoo_kind = "optimizers"
    lr = 0.0

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return Noting(parameters)


class InParts(Plain):
    def __init__(self, *, task: Sequence[str] = ("hard_label",)) -> None:
        self.parts = {"task": tuple(task)}


@pytest.fixture(autouse=True)
def registered() -> None:
    registry.register("optimizers", "noting", Plain)
    registry.register("optimizers", "noting_parts", InParts)


def given(method: str, optimizer: Any, *, train: Mapping[str, Any] | None = None, learner: str = "student") -> Any:
    """What the optimizer of a learner gets for the first step of a tiny run."""
    extra = METHODS[method]
    recipe = {**extra.get("recipe", {}), "methods": extra.get("methods", {}), "optimizers": {"student": optimizer}}
    settings = {"epochs": 1, "batch_size": 12, **(train or {})}
    with tiny_run(tiny_recipe(method, extra.get("settings"), recipe={**recipe, "train": settings})) as run:
        train_step(run, first_window(run)[0])
        (found,) = run.optimizers[learner].given  # type: ignore[attr-defined]
        assert bool(run.gradient_groups) == (optimizer == "noting_parts")
    return found


def summed(parts: Mapping[str, list[Tensor | None]]) -> list[Tensor | None]:
    columns = [[g for g in column if g is not None] for column in zip(*parts.values(), strict=True)]
    return [torch.stack(column).sum(0) if column else None for column in columns]


def assert_close(found: list[Tensor | None], expected: list[Tensor | None]) -> None:
    assert [g is None for g in found] == [g is None for g in expected]
    for a, b in zip(found, expected, strict=True):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("accumulate", "clip"), [(1, None), (3, None), (1, 0.01), (3, 1e3)])
@pytest.mark.parametrize("method", METHODS)
def test_the_parts_sum_to_the_gradient_of_the_total(method: str, accumulate: int, clip: float | None) -> None:
    if METHODS[method].get("whole"):
        accumulate = 1
    settings = {"accumulate": accumulate, "clip": clip}
    total, nothing = given(method, "noting", train=settings)
    gradient, parts = given(method, "noting_parts", train=settings)
    assert nothing == {}
    assert set(parts) == {"task", REST}
    assert_close(gradient, total)
    assert_close(summed(parts), total)
    assert all(any(g is not None and g.any() for g in part) for part in parts.values())


def test_every_learner_gets_its_own_parts() -> None:
    total, _ = given("dml", "noting", learner="student2")
    _, parts = given("dml", "noting_parts", learner="student2")
    assert_close(summed(parts), total)


def test_the_task_part_is_the_gradient_of_its_methods_alone() -> None:
    _, parts = given("kd", "noting_parts")
    with tiny_run(tiny_recipe("hard_label", recipe={"optimizers": {"student": "noting"}})) as run:
        train_step(run, first_window(run)[0])
        ((alone, _),) = run.optimizers["student"].given  # type: ignore[attr-defined]
    assert_close(parts["task"], alone)


def test_a_parameter_that_only_one_part_reaches_is_missing_from_the_other() -> None:
    gradient, parts = given("fitnets_joint", "noting_parts")
    only = [task is None and rest is not None for task, rest in zip(parts["task"], parts[REST], strict=True)]
    assert sum(only) == 4  # the regressor: a convolution and a BatchNorm
    assert len(gradient) == len(only)


def test_parts_follow_the_scale_and_the_clipping_of_their_sum() -> None:
    optimizer = Noting([nn.Parameter(torch.zeros(2))])
    (parameter,) = optimizer.param_groups[0]["params"]
    parts = GradientGroups({"task": ["a"]}, optimizer, "student")
    parts.gradients["task"][parameter], parts.gradients[REST][parameter] = torch.tensor([8.0, 0.0]), torch.tensor([0.0, 6.0])
    parts.follow(2.0, (torch.tensor(5.0), 1.0))
    torch.testing.assert_close(optimizer.parts["task"][parameter], torch.tensor([0.8, 0.0]))
    torch.testing.assert_close(optimizer.parts[REST][parameter], torch.tensor([0.0, 0.6]))


class Doubling:
    """Another process with the same gradients, but for parameters that it does not reach."""

    def reduce_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = 2 * parameter.grad


def test_each_part_is_summed_over_the_processes() -> None:
    optimizer = Noting([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))])
    both, alone = optimizer.param_groups[0]["params"]
    parts = GradientGroups({"task": ["a"]}, optimizer, "student")
    parts.gradients["task"][both] = torch.tensor([1.0, 2.0])
    parts.gradients[REST] |= {both: torch.tensor([10.0, 20.0]), alone: torch.tensor([5.0])}
    parts.reduce(Doubling())  # type: ignore[arg-type]
    assert (both.grad.tolist(), alone.grad.tolist()) == ([22.0, 44.0], [10.0])
    assert optimizer.parts["task"][both].tolist() == [2.0, 4.0]
    assert optimizer.parts[REST][both].tolist() == [20.0, 40.0]
    assert alone not in optimizer.parts["task"]


def test_fp16_hands_over_unscaled_parts_and_skips_what_overflowed() -> None:
    """Loss scaling alone: the forward stays in float32, so that the gradients can be compared."""
    recipe = tiny_recipe("kd", recipe={"optimizers": {"student": "noting_parts"}})
    expected, _ = given("kd", "noting")
    with tiny_run(recipe) as run:
        run.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        (batch,) = first_window(run)
        train_step(run, batch)
        (gradient, parts) = run.optimizers["student"].given.pop()  # type: ignore[attr-defined]
        assert_close(gradient, expected)
        assert_close(summed(parts), expected)
        run.backward(run.step(batch), run.weights(batch))
        next(iter(run.gradient_groups["student"].gradients["task"].values())).fill_(torch.inf)
        assert not run.optimize("student")
        assert run.optimizers["student"].given == []  # type: ignore[attr-defined]
        assert run.precision.scale == 2.0**9
        assert not any(run.gradient_groups["student"].gradients.values())


def test_a_loss_that_belongs_to_no_part_is_refused() -> None:
    with tiny_run(tiny_recipe("kd", recipe={"optimizers": {"student": "noting_parts"}})) as run:
        total, _ = run.objective(first_window(run)[0])
        with pytest.raises(PluginError, match=r"optimizers.student takes its gradients in parts, but some came by a backward"):
            run.optimize("student", total)


@pytest.mark.parametrize(
    ("method", "optimizers", "text"),
    [
        ("kd", {"student": {"use": "noting_parts", "task": ["hard_labels"]}}, r"no such method; did you mean 'hard_label'"),
        ("kd", {"student": {"use": "noting_parts", "task": ["kd", "kd"]}}, r"methods.kd in more than one part"),
        (
            "prokt",
            {"student": "sgd", "teacher": "noting_parts"},
            r"optimizers.teacher takes its gradients in parts, but a teach",
        ),
    ],
)
def test_parts_that_cannot_be_are_refused_in_words(method: str, optimizers: Any, text: str) -> None:
    sections: dict[str, Any] = {"optimizers": optimizers}
    if method == "prokt":
        sections["teacher"] = {"use": "trainable", "model": {"use": "tiny_cnn", "widths": [6, 12]}}
    with pytest.raises(RecipeError, match=text):
        assemble(tiny_recipe(method, recipe=sections).settings)
