"""MetaDistil beside every other registered method: the meta-gradient flows through the mixture, or a sentence says why not."""

from __future__ import annotations

from typing import Any

import pytest
from meta_cases import NETS, assert_same, meta_gradient, objective

from kdzoo.errors import KdzooError
from kdzoo.testing.tiny import registered

pytestmark = pytest.mark.usefixtures("float64")

# Logits, features with adapters, whole-batch relations, several views, per-sample weights, two learners, label-only methods.
QUICK = ["dkd", "fitnets_joint", "review_kd", "dist", "rkd", "mlkd", "wsld", "dml", "tf_kd", "vid"]
OTHERS = [name for name in registered("methods") if name not in {*QUICK, "kd", "hard_label", "metadistil"}]


def compare(name: str, **sections: Any) -> None:
    found = []
    for backend in ("jvp", "double_backward"):
        settings = {"backend": backend, "quiz_batch": None, "quiz": 0.1}
        with objective("batchnorm", "kl", settings, methods={"kd": {}, name: {}}, **sections) as (run, batches):
            found.append(meta_gradient(run, batches))
    assert_same(*found, 1e-12)


def refusal(name: str, **sections: Any) -> str:
    """What is said of a mixture that cannot be; nothing if the backends agree."""
    try:
        compare(name, **sections)
    except KdzooError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", QUICK)
def test_the_meta_gradient_goes_through_the_mixture(name: str) -> None:
    compare(name)


def test_transforms_are_part_of_what_is_differentiated() -> None:
    found = []
    for logits in ([], ["standardize"], ["standardize", {"use": "curriculum_temperature"}]):
        each = []
        for backend in ("jvp", "double_backward"):
            with objective("mlp", "kl", {"backend": backend}, methods={"kd": {"logits": logits}}) as (run, batches):
                each.append(meta_gradient(run, batches))
        assert_same(*each, 1e-12)
        found.append(each[0]["fc.weight"])
    assert not found[0].allclose(found[1])
    assert not found[1].allclose(found[2])


def test_a_weight_scales_the_meta_gradient_to_first_order() -> None:
    """Twice the distillation weight, twice the gradient, where the inner step is small."""
    found = []
    for weight in (1.0, 2.0):
        methods = {"kd": {"weights": {"kd": weight}}}
        with objective("mlp", "kl", {"inner_lr": 1e-6}, methods=methods) as (run, batches):
            found.append(meta_gradient(run, batches))
    assert_same(found[1], {name: 2 * g for name, g in found[0].items()}, 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_other_method_composes_or_says_why_not(name: str) -> None:
    """Networks of one width, for those that compare channels."""
    same = NETS["batchnorm"][1]
    said = refusal(name, student=same, teacher={"use": "trainable", "model": same})
    assert said == "" or name in said
