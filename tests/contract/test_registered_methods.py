"""Every law for every registered method, built in or installed beside."""

from __future__ import annotations

from typing import Any

from kdzoo import testing
from kdzoo.testing.tiny import TEACHER, registered

SHORT = {"use": "tiny_cnn", "widths": [4, 8]}
AS_WIDE = {"student": TEACHER}
MAPS = {"student": {"use": "class_maps", "base": SHORT}}
EXPANDED = {"student": {"use": "expanded", "base": SHORT, "width": 12, "copies": 2}}

PLAIN_TEACHER = {"use": "trainable", "model": {"use": "mlp", "hidden": [12]}}
TRAINABLE = {"use": "trainable", "model": SHORT}


def moved_by(**teacher: Any) -> dict[str, Any]:
    """Optimizers of a student and of the teacher that a method moves."""
    return {"student": {"use": "sgd", "lr": 0.02}, "teacher": teacher}


# What a method needs in a tiny run, where its defaults are made for long runs, large sets or other models.
CONTRACTS: dict[str, dict[str, Any]] = {
    "byot": {"recipe": {"student": {"use": "tiny_cnn", "widths": [4, 6, 8]}}},
    "mean_teacher": {"recipe": {"teacher": {"use": "ema"}}},
    # Its monitor of the teacher reads at each update whether an epoch began, and once that the meta-gradient is not 0.
    "metadistil": {
        "settings": {"quiz": 0.3},
        "recipe": {"methods": {"kd": {}}},
        "fixed": frozenset({"quiz"}),
        "reads_back": True,
    },
    "lgtm": {"settings": {"quiz": 0.3}, "fixed": frozenset({"quiz"})},
    # No BatchNorm in a teacher that is in train mode: it would see each micro-batch by itself.
    "mpl": {
        "settings": {"quiz": 0.3, "ramp": 2, "threshold": 0.1},
        "recipe": {"teacher": PLAIN_TEACHER, "optimizers": moved_by(use="sgd", lr=0.05)},
        "fixed": frozenset({"quiz"}),
    },
    "mpdistil": {
        "settings": {"quiz": 0.3},
        "recipe": {"teacher": TRAINABLE, "optimizers": moved_by(use="adamw", lr=0.01)},
        "fixed": frozenset({"quiz", "clip"}),
    },
    "sftn": {"settings": {"student": SHORT}, "recipe": AS_WIDE},
    "teacher_fine_tuning": {"settings": {"quiz": 0.3}, "recipe": {"methods": {"kd": {}}}, "fixed": frozenset({"quiz"})},
    "pad": {"recipe": AS_WIDE},
    "quiz_holdout": {"settings": {"quiz": 0.3}, "fixed": frozenset({"quiz"})},
    "sdd": {"recipe": MAPS},
    "ab": {"settings": {"boundary_epochs": 1}},
    "fitnets": {"settings": {"hint_epochs": 1}},
    "ft": {"settings": {"paraphraser_epochs": 1}, "fixed": frozenset({"rate"})},
    "ft_attention": {"settings": {"paraphraser_epochs": 1}, "fixed": frozenset({"rate"})},
    "sskd": {"settings": {"head_epochs": 1}, "fixed": frozenset({"head_lr"})},
    "cat_kd": {"recipe": MAPS},
    "cat_kd_unit": {"recipe": MAPS},
    "crd": {"settings": {"negatives": 8, "width": 8}},
    "fsp": {"settings": {"flow_epochs": 1, "student_taps": ["stages"], "teacher_taps": ["stages"]}, "recipe": AS_WIDE},
    "kdsvd": {"recipe": AS_WIDE},
    "norm": {"recipe": EXPANDED},
    "prokt_dual": {"fixed": frozenset({"start"})},
    # The power iteration looks every ten steps whether it has converged.
    "london": {"reads_back": True},
    "vid": {"fixed": frozenset({"initial_variance"})},
}


def _contract(name: str) -> type:
    return type(f"Test_{name}", (testing.MethodContract,), {"method": name, **CONTRACTS.get(name, {})})


# Methods of other tasks; their families run the same laws there.
OF_GRAPHS = {"auto_distill", "auto_distill_infonce", "auto_distill_l2"}
OF_KNOWLEDGE = {
    "constrained_inference",
    "constraint_pseudo_labels",
    "constraint_sampling",
    "gradient_inference",
    "gumbel_constraint",
    "inference_masked",
    "primal_dual",
    "rule_distillation",
    "semantic_loss",
    "tnorm_constraint",
}
OF_TEXTS = {"layer_matching", "patient_kd", "distilbert", "tinybert", "minilm", "minilm_v2", "mobilebert"}
OF_OTHER_TASKS = OF_GRAPHS | OF_KNOWLEDGE | OF_TEXTS

globals().update({f"Test_{name}": _contract(name) for name in registered("methods") if name not in OF_OTHER_TASKS})


class TestStandardize(testing.TransformContract):
    transform = "standardize"


class TestSmooth(testing.TransformContract):
    transform = "smooth"
    slot = "targets"


class TestSmoothOffLabel(testing.TransformContract):
    transform = "smooth_off_label"
    slot = "targets"


class TestCurriculumTemperature(testing.TransformContract):
    transform = "curriculum_temperature"


class TestNoisyTeacher(testing.TransformContract):
    transform = "noisy_teacher"


class TestShuffledTeacher(testing.TransformContract):
    transform = "shuffled_teacher"


class TestProbabilityShift(testing.TransformContract):
    transform = "probability_shift"


class TestKDpt(testing.TransformContract):
    transform = "kd_pt"


class TestKDTopk(testing.TransformContract):
    transform = "kd_topk"


class TestKDptSim(testing.TransformContract):
    transform = "kd_pt_sim"
