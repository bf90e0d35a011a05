"""Methods beside each other: any two that want the same models train together, and what cannot be combined says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from kdzoo.engine.run import Run
from kdzoo.engine.training_step import train_step, update_teacher
from kdzoo.errors import KdzooError
from kdzoo.protocol.outputs import ENGINE
from kdzoo.testing import first_window, tiny_recipe, tiny_run
from kdzoo.testing.tiny import registered

from .test_registered_methods import CONTRACTS, OF_OTHER_TASKS

NAMES = [name for name in registered("methods") if name not in OF_OTHER_TASKS]
STEPS = 40


def settings_of(name: str) -> dict[str, Any]:
    return dict(CONTRACTS.get(name, {}).get("settings", {}))


def sections_of(name: str) -> dict[str, Any]:
    return dict(CONTRACTS.get(name, {}).get("recipe", {}))


def together(first: str, second: str) -> Mapping[str, Any] | None:
    """The sections that both need; None where they want different models."""
    a, b = sections_of(first), sections_of(second)
    if any(a[key] != b[key] for key in a.keys() & b.keys() - {"methods"}):
        return None
    methods = {**a.get("methods", {}), **b.get("methods", {}), second: settings_of(second)}
    return {**a, **b, "methods": {label: own for label, own in methods.items() if label != first}}


def one_step(run: Run) -> None:
    """A step of the run, with finite losses and finite gradients."""
    window = first_window(run)
    update_teacher(run, window)
    total, step = run.objective(window[0])
    assert torch.isfinite(total), {name: value.item() for name, value in step.stash[ENGINE].items()}
    if total.requires_grad:
        total.backward()
    assert all(torch.isfinite(p.grad).all() for p in run.trainable().values() if p.grad is not None)


def outcome(first: str, second: str) -> str:
    sections = together(first, second)
    if sections is None:
        return "other models"
    try:
        recipe = tiny_recipe(first, settings_of(first), recipe=sections)
        with tiny_run(recipe) as run:
            one_step(run)
    except KdzooError as error:
        return "refused" if len(str(error)) > 20 else f"refused without a sentence: {error!r}"
    return "composed"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("kd", "hard_label")])
def test_it_trains_beside_kd_or_says_why_not(name: str) -> None:
    assert outcome(name, "kd") in ("composed", "refused")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_trains_beside_every_later_method_or_says_why_not(name: str) -> None:
    for other in NAMES[NAMES.index(name) + 1 :]:
        if "hard_label" not in (name, other):
            assert outcome(name, other) in ("composed", "refused", "other models")


def test_most_pairs_do_compose() -> None:
    """Each method with three others, so that the checks above are not about refusals."""
    pairs = [(name, other) for name in NAMES for other in ("dkd", "at", "sp") if name not in (other, "hard_label")]
    found = [outcome(*pair) for pair in pairs]
    assert found.count("composed") > 0.75 * len(found)


@pytest.mark.parametrize("name", NAMES)
def test_its_total_falls_when_one_batch_is_trained_on_again_and_again(name: str) -> None:
    totals = []
    with tiny_run(tiny_recipe(name, settings_of(name), recipe=sections_of(name))) as run:
        window = first_window(run)
        for _ in range(STEPS):
            update_teacher(run, window)
            (step,) = train_step(run, window[0])
            values = step.values
            totals.append(sum(run.weights_now[n.split(".")[0]][n.split(".")[1]] * v.item() for n, v in values.items()))
    first, last = sum(totals[:3]) / 3, sum(totals[-3:]) / 3
    assert last < first - 0.02 * abs(first), f"the total went from {first:.4f} to {last:.4f}"
