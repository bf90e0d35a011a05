"""What a method cannot serve is refused before training, by a sentence with method, taps and shapes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kdzoo_features.ab import AB
from kdzoo_features.at import AT
from kdzoo_features.cc import CC
from kdzoo_features.crd import CRD
from kdzoo_features.cwd import CWD
from kdzoo_features.ft import FT
from kdzoo_features.kdsvd import KDSVD
from kdzoo_features.mgd import MGD
from kdzoo_features.sim_kd import SimKD
from kdzoo_features.sskd import SSKD

from kdzoo.errors import CapabilityError

from .conftest import NET, WIDER, Running, frozen

MLP = {"use": "mlp", "hidden": [16, 8]}
ON_STAGES = ["at", "nst", "vid", "fitnets", "fitnets_joint", "kdsvd", "kdsvd_rows", "ab"]
ON_LAST = ["ft", "srrl", "sim_kd", "mgd", "ickd", "cwd", "pearson_kd", "wkd_feature"]
RELATIONAL = ["sp", "rkd", "pkt", "cc", "cc_neighbors", "itrd", "pearson_kd"]


@pytest.mark.parametrize("method", [*ON_STAGES, *ON_LAST])
def test_features_without_positions_are_refused(method: str, running: Running) -> None:
    taps = (
        rf"methods\.{method} compares feature maps .* tap '(stage|last|classified)[^']*' of the student has shape \((16|8),\)"
    )
    with pytest.raises(CapabilityError, match=taps):
        running(method, student=MLP, teacher=frozen(NET))


@pytest.mark.parametrize("method", RELATIONAL)
def test_a_batch_of_one_is_refused(method: str, running: Running) -> None:
    with pytest.raises(CapabilityError, match=rf"methods\.{method} relates the samples .* train\.batch_size is 1"):
        running(method, train={"epochs": 1, "batch_size": 1})


@pytest.mark.parametrize(("method", "instead"), [("fsp", "use nst or vid"), ("kdsvd", "use kdsvd_rows")])
def test_unequal_channels_are_refused_with_the_way_out(method: str, instead: str, running: Running) -> None:
    taps = {"student_taps": ["stages"], "teacher_taps": ["stages"]}
    with pytest.raises(CapabilityError, match=rf"tap 'stage1' of the student has 4 \(shape \(4, 4, 4\)\).*{instead}"):
        running(method, taps, student=NET, teacher=frozen(WIDER))


def test_unequal_numbers_of_stages_are_refused_with_their_names(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"there are 2 \(stage1, stage2\) and 3 \(stage1, stage2, stage3\)"):
        running("at", student=NET, teacher=frozen({"use": "tiny_cnn", "widths": [4, 8, 8]}))


@pytest.mark.parametrize("method", ["fsp", "kdsvd", "kdsvd_rows"])
def test_the_relation_between_layers_needs_two(method: str, running: Running) -> None:
    taps = {"student_taps": ["stage1"], "teacher_taps": ["stage1"]}
    with pytest.raises(CapabilityError, match=rf"methods\.{method} compares .* adjacent maps, but there is only 1"):
        running(method, taps, student=NET, teacher=frozen(NET))


def test_unequal_widths_are_refused_by_the_row_variant(running: Running) -> None:
    taps = {"student_taps": ["stage1", "stage2"], "teacher_taps": ["stage2", "stage2"]}
    with pytest.raises(CapabilityError, match=r"student tap has shape \(4, 4, 4\) and its teacher tap \(8, 2, 2\)"):
        running("kdsvd_rows", {**taps, "teacher_taps": ["stage2", "stage1"]}, student=NET, teacher=frozen(NET))


@pytest.mark.parametrize("method", ["srrl", "sim_kd"])
def test_a_tap_that_the_teacher_does_not_classify_is_refused(method: str, running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"tap 'stage1', which has 6 channels, but the classifier takes 12 features"):
        running(method, {"teacher_tap": "stage1"}, teacher=frozen(WIDER))


@pytest.mark.parametrize("method", ["srrl", "sim_kd"])
def test_a_classifier_that_moves_is_not_copied(method: str, running: Running) -> None:
    optimizers = {"student": {"use": "sgd", "lr": 0.1}, "teacher": {"use": "sgd", "lr": 0.1}}
    with pytest.raises(CapabilityError, match=r"teacher 'teacher' is trained in this run.*use a frozen teacher"):
        running(method, teacher={"use": "trainable", "model": WIDER}, optimizers=optimizers)


def test_margins_need_a_batchnorm_with_scale_and_shift(running: Running) -> None:
    run = running("ofd")
    plain = run.teachers["teacher"].model
    plain.body[0][1] = torch.nn.BatchNorm2d(6, affine=False)
    with pytest.raises(CapabilityError, match=r"BatchNorm before tap 'stage1\.preact' of the teacher"):
        run.methods["ofd"].setup(run)


def test_expansions_that_do_not_fit_the_teacher_are_refused_with_the_width_to_set(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"'expanded' has shape \(14, 2, 2\).*set student\.width=12"):
        running("norm", student={"use": "expanded", "base": NET, "width": 7, "copies": 2}, teacher=frozen(WIDER))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: AT(power=0), "power must be > 0, got 0"),
        (lambda: AB(margin=-1), "margin must be > 0, got -1"),
        (lambda: AB(boundary_epochs=-1), "boundary_epochs must be at least 0, got -1"),
        (lambda: CC(gamma=0), "gamma must be > 0"),
        (lambda: CC(order=0), "order must be at least 1"),
        (lambda: CWD(temperature=0), "temperature must be > 0"),
        (lambda: CRD(momentum=1), "momentum must be at least 0 and below 1, got 1"),
        (lambda: CRD(negatives=0), "negatives must be at least 1"),
        (lambda: FT(rate=0), "rate must be > 0"),
        (lambda: KDSVD(rank=0), "rank must be at least 1"),
        (lambda: MGD(ratio=1), "ratio must be at least 0 and below 1, got 1"),
        (lambda: SimKD(factor=0), "factor must be at least 1"),
        (lambda: SSKD(keep_similarity=-1), "keep_similarity must be at least 0"),
    ],
)
def test_values_out_of_range_are_named(build: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
