"""DOT: two momenta."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from kdzoo_logits.dot import DISTILL, DOT, TASK, dot_step

from kdzoo.engine.assemble import assemble
from kdzoo.engine.feed import Feed
from kdzoo.engine.loop import train
from kdzoo.engine.observers import Observer
from kdzoo.engine.position import Position
from kdzoo.engine.stages import StagePlan
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.labels import cross_entropy
from kdzoo.recipe.build import build
from kdzoo.recipe.load import dump
from kdzoo.testing import MethodContract, tiny_recipe

MLP = {"use": "mlp", "hidden": [16, 12]}
WORKER = Path(__file__).parents[2] / "engine" / "distributed_worker.py"


def test_without_a_difference_of_momenta_it_is_sgd_on_the_sum() -> None:
    task, distill = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    reference = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    sgd = torch.optim.SGD([reference], lr=0.1, momentum=0.9, weight_decay=0.01)
    p, v_task, v_kd = reference.detach().clone(), None, None
    for g_task, g_kd in zip(task, distill, strict=True):
        reference.grad = g_task + g_kd
        sgd.step()
        p, v_task, v_kd = dot_step(p, (v_task, g_task), (v_kd, g_kd), lr=0.1, delta=0.0, weight_decay=0.01)
    torch.testing.assert_close(p, reference.detach())


def test_the_distillation_gradient_lives_longer() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    p, v_task, v_kd = dot_step(zero, (None, one), (None, one), lr=1.0, delta=0.05)
    _, v_task, v_kd = dot_step(p, (v_task, zero), (v_kd, zero), lr=1.0, delta=0.05)
    torch.testing.assert_close((v_task, v_kd), (torch.tensor([0.85]), torch.tensor([0.95])))


def test_a_parameter_of_the_task_alone_uses_the_plain_momentum() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    p, v_task, v_kd = dot_step(zero, (None, one), (None, None), lr=1.0)
    _, v_task, v_kd = dot_step(p, (v_task, zero), (v_kd, None), lr=1.0)
    assert v_kd is None
    torch.testing.assert_close(v_task, torch.tensor([0.9]))


# -- in a run ----------------------------------------------------------------------------------------------------------


def recipe(optimizer: Any, method: str = "kd", *, train: Any = None, **sections: Any) -> Any:
    own = {"student": MLP, "teacher": {"use": "frozen", "model": {"use": "mlp", "hidden": [20]}}, **sections}
    own["train"] = {"epochs": 2, "batch_size": 12, **(train or {})}
    return tiny_recipe(method, recipe={**own, "optimizers": {"student": optimizer}})


def trained(given: Any) -> Any:
    run = assemble(given.settings)
    train(run, StagePlan.of(run, given.settings["train"]["epochs"], {}), Feed(run), Observer(), Position())
    return run


def by_hand(given: Any, *, delta: Any) -> Any:
    """As the released trainer goes: a backward for each loss, then one step with both gradients."""
    run = assemble(given.settings)
    student, teacher = run.student.train(), run.model("teacher")
    parameters = list(student.parameters())
    state = dict.fromkeys(parameters, (None, None))
    for epoch in range(given.settings["train"]["epochs"]):
        for (batch,) in Feed(run).windows(epoch, start=0, size=1):
            logits, goal = student(batch.inputs), teacher(batch.inputs).detach()
            by_kd = torch.autograd.grad(softened_kl(logits, goal), parameters, retain_graph=True)
            by_task = torch.autograd.grad(cross_entropy(logits, batch.target), parameters)
            for p, task, distill in zip(parameters, by_task, by_kd, strict=True):
                v_task, v_kd = state[p]
                settings = {"lr": 0.02, "delta": delta, "weight_decay": 5e-4}
                moved, *state[p] = dot_step(p.detach(), (v_task, task), (v_kd, distill), **settings)
                p.data.copy_(moved)
    return student


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_engine_takes_the_steps_of_the_released_trainer(accumulate: int) -> None:
    given = recipe({"use": "dot", "lr": 0.02, "delta": 0.09}, train={"accumulate": accumulate})
    expected, run = by_hand(given, delta=0.09), trained(given)
    for ours, theirs in zip(run.student.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip", [None, 0.1])
def test_with_equal_momenta_a_run_is_that_of_sgd(clip: float | None) -> None:
    dot, sgd = ({"use": name, "lr": 0.02, **more} for name, more in (("dot", {"delta": 0.0}), ("sgd", {})))
    first, second = (trained(recipe(optimizer, train={"clip": clip})).student for optimizer in (dot, sgd))
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_a_difference_of_momenta_leads_elsewhere() -> None:
    first, second = (trained(recipe({"use": "dot", "lr": 0.02, "delta": d})).student for d in (0.0, 0.09))
    assert not all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


def test_an_adapter_has_a_buffer_for_the_distillation_only() -> None:
    nets = {"student": {"use": "tiny_cnn", "widths": [4, 8]}, "teacher": {"use": "frozen", "model": {"use": "tiny_cnn"}}}
    given = recipe("dot", "fitnets_joint", **nets)
    run = assemble(given.settings)
    plan = StagePlan.of(run, 1, {})
    with plan.entered(run, 0):
        (batch,) = next(Feed(run).windows(0, start=0, size=1))
        run.backward(run.step(batch), run.weights(batch))
        run.optimize("student")
        state = run.optimizers["student"].state
        adapter, student = (next(m.parameters()) for m in (run.methods["fitnets_joint"], run.student))
        assert (set(state[adapter]), set(state[student])) == ({DISTILL}, {TASK, DISTILL})


def test_its_numbers_follow_schedules() -> None:
    schedules = {f"optimizers.student.{name}": {"use": "constant", "value": v} for name, v in (("lr", 0.01), ("delta", 0.02))}
    given = recipe("dot", schedules=schedules)
    run = assemble(given.settings)
    built = {path: build("schedules", spec, path) for path, spec in given.settings["schedules"].items()}
    train(run, StagePlan.of(run, 2, built), Feed(run), Observer(), Position())
    constant = trained(recipe({"use": "dot", "lr": 0.01, "delta": 0.02}))
    assert all(torch.equal(p, q) for p, q in zip(run.student.parameters(), constant.student.parameters(), strict=True))


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    task = {"data": "digits", "train_size": 45, "validation": 1000, "crop": 1}
    given = recipe({"use": "dot", "lr": 0.02}, train={"epochs": 1, "batch_size": 9}, task=task)
    (tmp_path / "recipe.yaml").write_text(dump(given.settings))
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    for processes in (1, 2):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if processes == 2 else []
        command = [sys.executable, *launcher, str(WORKER), str(tmp_path)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"recipe-{n}.pt", weights_only=True) for n in (1, 2))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}")


class TestKDUnderDOT(MethodContract):
    """Every law holds, resuming bit for bit included, whatever the optimizer."""

    method = "kd"
    recipe: ClassVar = {"optimizers": {"student": {"use": "dot", "lr": 0.02}}}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": -1.0}, "lr must be at least 0, got -1"),
        ({"task": ()}, "task must name at least one method"),
        ({"delta": -0.1}, "must lie between 0 and 1, got momentum 0.9 and delta -0.1"),
        ({"delta": 0.1}, "must lie between 0 and 1, got momentum 0.9 and delta 0.1"),
        ({"momentum": 0.05}, "must lie between 0 and 1, got momentum 0.05 and delta 0.075"),
    ],
)
def test_values_out_of_range_are_refused_in_words(settings: dict[str, float] | dict[str, tuple[Any, ...]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        DOT(**settings)
