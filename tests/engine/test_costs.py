"""What a training costs, counted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from kdzoo.engine.cohort import Cohort, Member
from kdzoo.engine.costs import Costs
from kdzoo.engine.flops import FlopCounter
from kdzoo.engine.launch import launch
from kdzoo.engine.results import Result
from kdzoo.models.resnet import resnet8
from kdzoo.tasks.meters import faithfulness
from kdzoo.testing.tiny import TEACHER, tiny_recipe

LINEAR: dict[str, Any] = {"student": "linear", "train": {"epochs": 2, "batch_size": 20}}


def result(tmp_path: Path, *methods: str, **recipe: Any) -> dict[str, Any]:
    found = launch(tiny_recipe(*methods, out=tmp_path, recipe=recipe))
    values: dict[str, Any] = json.loads((found.folder / "result.json").read_text())
    return values


def test_the_counter_counts_what_torchs_own_counts_forward_and_backward() -> None:
    model, inputs = resnet8(classes=10, channels=3), torch.rand(4, 3, 16, 16)
    with FlopCounterMode(display=False) as expected:
        model(inputs).sum().backward()
    with FlopCounter() as counter:
        model(inputs).sum().backward()
    assert counter.total == expected.get_total_flops() > 0


def test_counting_changes_nothing() -> None:
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2)), torch.rand(5, 3, 8, 8)
    plain = model(inputs)
    with FlopCounter():
        counted = model(inputs)
    assert torch.equal(plain, counted)


def test_a_linear_students_training_costs_two_products_a_sample(tmp_path: Path) -> None:
    values = result(tmp_path, "hard_label", **LINEAR)
    size, classes = values["parameters"]["deployed"], values["data"]["classes"]
    product = 2 * (size - classes)  # of the forward; the gradient of the weight costs another
    assert values["cost"]["inference_flops"] == product
    assert values["cost"]["samples"] == 2 * values["data"]["sizes"]["train"]
    assert values["cost"]["training_flops"] == 2 * product * values["cost"]["samples"]
    assert values["cost"]["teacher_forwards"] == 0


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_a_teachers_forwards_are_counted_and_cost_operations(tmp_path: Path) -> None:
    alone = result(tmp_path, "hard_label")["cost"]
    taught = result(tmp_path, "kd")["cost"]
    assert taught["teacher_forwards"] == taught["samples"] == alone["samples"]
    assert taught["training_flops"] > alone["training_flops"]
    assert taught["inference_flops"] == alone["inference_flops"]


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_answers_that_a_teacher_gives_ahead_are_no_cost_of_a_run(tmp_path: Path) -> None:
    """Whether a run makes the cache, finds it, or shares a pass with others on it."""
    task = {"data": "digits", "train_size": 44, "validation": 1000, "crop": 0}
    cached = {"task": task, "teacher": {"use": "cached", "model": TEACHER, "folder": str(tmp_path / "kept")}}
    alone = result(tmp_path, "hard_label", task=task)["cost"]
    made, found = result(tmp_path / "a", "kd", **cached)["cost"], result(tmp_path / "b", "kd", **cached)["cost"]
    shutil.rmtree(tmp_path / "kept")
    members = [Member(tiny_recipe("kd", out=tmp_path / name, recipe=cached), tmp_path / name / "run") for name in ("c", "d")]
    Cohort(members).train()
    costs = [made, found, *(member.ended.values["cost"] for member in members if isinstance(member.ended, Result))]
    assert len(costs) == 4
    assert [cost["training_flops"] for cost in costs] == [alone["training_flops"]] * 4
    assert [cost["teacher_forwards"] for cost in costs] == [0] * 4


def test_every_result_says_its_costs(tmp_path: Path) -> None:
    values = result(tmp_path, "hard_label", **LINEAR)
    cost = values["cost"]
    assert cost["peak_bytes"] > 2**20
    assert cost["samples_per_second"] > 0
    assert 0 < cost["training_seconds"] <= values["seconds"] + 0.01
    assert (values["chance"], values["bounds"]) == (pytest.approx(10.1, abs=1), [0.0, 100.0])


def step(costs: Costs, name: str, samples: int, flops: int, **asked: int) -> None:
    with costs.part(name, samples):
        for role, times in asked.items():
            for _ in range(times):
                costs.ask(role, samples)
        torch.ones(1, flops // 2) @ torch.ones(flops // 2, 1)


def test_a_new_kind_of_step_is_counted_when_it_comes_again() -> None:
    costs = Costs()
    for _ in range(3):
        step(costs, "main", 1, 100, student=1)
    for _ in range(3):  # a teacher is asked from now on
        step(costs, "main", 1, 300, student=1, teacher=1)
    assert costs.flops == 3 * 100 + 3 * 300


def test_a_kind_that_never_came_again_is_taken_at_its_stages_mean() -> None:
    costs = Costs()
    step(costs, "main", 2, 100, student=1)
    step(costs, "main", 2, 300, student=1, teacher=1)
    assert costs.flops == 200


def test_costs_survive_a_restart() -> None:
    whole, first = Costs(), Costs()
    for costs in (whole, first):
        step(costs, "main", 2, 100, student=1)
        step(costs, "main", 2, 100, student=1)
    second = Costs()
    second.restore(json.loads(json.dumps(first.state())))
    for costs in (whole, second):
        step(costs, "main", 2, 100, student=1)
    assert (second.flops, second.asked) == (whole.flops, whole.asked)


def test_what_is_compiled_has_no_count() -> None:
    costs = Costs(count=False)
    step(costs, "main", 1, 100)
    assert costs.flops is None


def test_a_student_that_is_its_teacher_agrees_with_it() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    found = faithfulness(logits, logits, torch.tensor([0, 0, 0]))
    assert found == {"agreement": 100.0, "kl": pytest.approx(0.0), "error_agreement": 100.0}


def test_agreement_and_kl_are_those_of_the_definition() -> None:
    student, teacher = torch.zeros(2, 2), torch.tensor([[0.0, 9.0], [1.0, 0.0]])
    found = faithfulness(student, teacher, torch.tensor([0, 0]))
    p = teacher.double().softmax(1)
    assert found["kl"] == pytest.approx((p * (p.log() - torch.tensor(0.5).double().log())).sum(1).mean().item())
    assert (found["agreement"], found["error_agreement"]) == (50.0, 0.0)


def test_other_classes_cannot_be_compared() -> None:
    assert faithfulness(torch.zeros(2, 2), torch.zeros(2, 3), torch.tensor([0, 0])) == {}
