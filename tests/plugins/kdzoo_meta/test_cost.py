"""What a meta step costs, by counting: no clock. The benchmark's own functions, on small pairs and, slowly, on its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import meta_cases  # noqa: F401  registers the methods
import pytest
import torch

_spec = importlib.util.spec_from_file_location(
    "benchmark_metadistil", Path(__file__).parents[3] / "benchmarks" / "metadistil.py"
)
assert _spec is not None
assert _spec.loader is not None
benchmark = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(benchmark)

SMALL: dict[str, dict[str, Any]] = {
    "resnets": {"student": "resnet8", "teacher": "resnet20", "shape": (3, 16, 16), "batch": 12},
    "transformers": {"student": benchmark.sequences(32, 2), "teacher": benchmark.sequences(48, 4)}
    | {"shape": (1, 64, 32), "batch": 12},
}


@pytest.fixture(scope="module", params=SMALL)
def costs(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = benchmark.measure(SMALL[request.param], 0)
    return found


def test_a_meta_step_is_three_kd_steps_of_arithmetic(costs: dict[str, Any]) -> None:
    assert costs["jvp"]["gflop"] == pytest.approx(3.0, rel=0.01)
    assert costs["KD again"]["gflop"] == 1


def test_recomputing_adds_one_forward_of_the_teacher_and_no_look_ahead_saves_the_inner_pass(costs: dict[str, Any]) -> None:
    teacher = costs["jvp, recompute"]["gflop"] - costs["jvp"]["gflop"]
    student = (1 - teacher) / 3  # KD: three forwards' worth of the student, one of the teacher
    assert 0 < teacher < 1
    assert costs["jvp"]["gflop"] - costs["jvp, no look-ahead"]["gflop"] == pytest.approx(3 * student, rel=0.05)


def test_memory_is_below_double_backward_and_least_with_recompute(costs: dict[str, Any]) -> None:
    peak = {name: found["megabytes"] for name, found in costs.items()}
    assert peak["jvp, recompute"] < peak["jvp"] < 0.8 * peak["double_backward"]


def test_the_meter_counts_what_is_alive_at_once() -> None:
    with benchmark.Memory() as memory:
        for _ in range(3):
            x = torch.zeros(1000)
            view = x[:10]
            del x
            view.add_(1)
    assert memory.peak in (4000, 8000)  # the next one is made before the last view of the one before is dropped
    del view
    assert memory.now == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "backend", "goal"),
    [("ResNet-20 <- 56", "jvp", 0.70), ("6 <- 12 layers", "jvp", 0.70), ("4 <- 8 layers", "jvp, recompute", 0.66)],
)
def test_peak_memory_keeps_to_the_goals(pair: str, backend: str, goal: float) -> None:
    two = {name: benchmark.BACKENDS[name] for name in (backend, "double_backward")}
    found = benchmark.measure(benchmark.PAIRS[pair], 0, two)
    assert found[backend]["megabytes"] <= goal * found["double_backward"]["megabytes"]
