"""Every law of methods, tasks, teachers and transforms on a tiny task of concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from kdzoo.protocol.outputs import Pair
from kdzoo.testing import MethodContract, TaskContract, TeacherContract, TransformContract, tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

RECIPE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("tiny.yaml").read_text())
TEACHER: dict[str, Any] = {"use": "separate_heads", "body": {"use": "tiny_cnn", "widths": [6]}}


class _Constrained(MethodContract):
    method = "hard_label"
    recipe: ClassVar[Any] = RECIPE


class TestLabels(_Constrained):
    pass


class TestLabelsOfOneHead(_Constrained):
    settings: ClassVar[Any] = {"reads": "size"}


class TestKDOnTheSecondHead(_Constrained):
    method = "kd"
    settings: ClassVar[Any] = {"reads": "size"}
    fixed: ClassVar[frozenset[str]] = frozenset({"temperature"})
    recipe: ClassVar[Any] = {**RECIPE, "teacher": {"use": "frozen", "model": TEACHER}}


class TestTNorm(_Constrained):
    # Where the premise of a residuum is less true than its conclusion, logits change nothing.
    method = "tnorm_constraint"
    settings: ClassVar[Any] = {"implication": "strong"}


class TestSemanticLoss(_Constrained):
    method = "semantic_loss"


class TestSampling(_Constrained):
    method = "constraint_sampling"
    settings: ClassVar[Any] = {"samples": 12}


class TestPrimalDual(_Constrained):
    method = "primal_dual"
    settings: ClassVar[Any] = {"implication": "strong", "start": 0.5, "warmup": 0, "every": 1}
    fixed: ClassVar[frozenset[str]] = frozenset({"start"})


class TestGumbel(_Constrained):
    method = "gumbel_constraint"


class TestInferenceMasked(_Constrained):
    method = "inference_masked"
    fixed: ClassVar[frozenset[str]] = frozenset({"time_limit"})


class TestPseudoLabels(_Constrained):
    method = "constraint_pseudo_labels"
    fixed: ClassVar[frozenset[str]] = frozenset({"time_limit"})


class TestRuleDistillation(_Constrained):
    method = "rule_distillation"
    recipe: ClassVar[Any] = {**RECIPE, "teacher": {"use": "rule_teacher"}}


class TestConstrainedInference(_Constrained):
    method = "constrained_inference"
    fixed: ClassVar[frozenset[str]] = frozenset({"time_limit"})


class TestGradientInference(_Constrained):
    method = "gradient_inference"
    settings: ClassVar[Any] = {"steps": 3}
    fixed: ClassVar[frozenset[str]] = frozenset({"rate", "weight"})


class TestRuleTeacher(TeacherContract):
    teacher = "rule_teacher"
    settings: ClassVar[Any] = {}
    recipe: ClassVar[Any] = RECIPE


class TestRuleProjection(TransformContract):
    transform = "rule_projection"

    def pair(self) -> tuple[Any, Pair, Any]:
        spec = {"logits": [{"use": self.transform, **self.settings}]}
        recipe = {**RECIPE, "teacher": {"use": "frozen", "model": TEACHER}}
        with tiny_run(tiny_recipe("kd", spec, recipe=recipe)) as run:
            seen = run.view(run.step(first_window(run)[0]), run.methods["kd"])
            return run.methods["kd"].logits[0], Pair(seen.student.rows, seen.teacher.rows), seen


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
class TestConcepts(TaskContract):
    task: ClassVar[Any] = RECIPE["task"]
    student: ClassVar[Any] = RECIPE["student"]
