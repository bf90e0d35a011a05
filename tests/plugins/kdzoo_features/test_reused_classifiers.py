"""Methods that apply the teacher's classifier to a feature: it is the one that the classifier reads, or they refuse."""

import pytest
import torch
from torch.nn import functional

from kdzoo.errors import CapabilityError

from .conftest import NET, Running, frozen, seen

WIDE = {"use": "wrn", "depth": 10, "widen": 1}
APPLYING = ["cat_kd", "cat_kd_unit", "sdd", "srrl", "sim_kd"]
REBUILT = {"use": "class_maps", "base": NET}


def student(method: str) -> dict[str, object]:
    return REBUILT if method in ("cat_kd", "cat_kd_unit", "sdd") else NET


@pytest.mark.parametrize("method", APPLYING)
def test_the_copied_classifier_gives_the_teachers_logits_on_the_tapped_map(method: str, running: Running) -> None:
    run = running(method, student=student(method), teacher=frozen(WIDE))
    step, own = seen(run, method), run.methods[method]
    (feature,) = step.teacher.features.values()
    logits = functional.linear(feature.mean((2, 3)), own.get_buffer("weight"), own.get_buffer("bias"))
    torch.testing.assert_close(logits, step.teacher.rows.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", APPLYING)
def test_a_map_before_the_last_layers_is_refused_although_it_has_the_right_channels(method: str, running: Running) -> None:
    words = rf"methods\.{method} applies the teacher's classifier to tap 'stage3', .* WideResNet.*'classified'"
    with pytest.raises(CapabilityError, match=words):
        running(method, {"teacher_tap": "stage3"}, student=student(method), teacher=frozen(WIDE))


def test_the_deployed_trunk_of_a_wide_student_ends_where_its_classifier_read(running: Running) -> None:
    run = running("sim_kd", student=WIDE, teacher=frozen(NET))
    kept = dict(run.deployed().named_modules())
    assert "trunk.bn1" in kept
    assert "trunk.fc" not in kept
