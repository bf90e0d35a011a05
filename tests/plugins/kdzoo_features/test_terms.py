"""Each term is its pure function on the right taps, with the weights between stages that the papers give."""

from itertools import combinations

import pytest
import torch
from torch import nn

from kdzoo.functional.attention import attention_transfer
from kdzoo.functional.divergence import softened_kl
from kdzoo.functional.features import mean_squared_error, pooled
from kdzoo.functional.margins import activation_boundary, negative_margin, partial_distance
from kdzoo.functional.relations import angle_relation, distance_relation
from kdzoo.functional.review import hierarchical_context
from kdzoo.models.tap_names import classifier_of, norm_of
from kdzoo.testing import first_window

from .conftest import NET, WIDER, Running, frozen, seen

PUBLISHED = {
    "at": {"at": 1000.0},
    "sp": {"sp": 3000.0},
    "pkt": {"pkt": 30000.0},
    "nst": {"nst": 50.0},
    "vid": {"vid": 1.0},
    "rkd": {"distance": 25.0, "angle": 50.0},
    "crd": {"crd": 0.8},
    "cc_neighbors": {"cc": 0.02},
    "ofd": {"ofd": 0.001},
    "ft": {"reconstruction": 0.0, "ft": 200.0},
    "fitnets_joint": {"hint": 100.0},
    "ickd": {"ickd": 2.5},
    "itrd": {"correlation": 2.0, "mutual": 1.0},
    "sskd": {"head": 0.0, "labels": 0.1, "kd": 0.9, "transformed": 2.7, "similarity": 10.0},
    "wkd_feature": {"wkd": 0.08},
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_default_weights_are_the_published_ones(method: str, running: Running) -> None:
    assert running(method).weights_now[method] == PUBLISHED[method]


def test_attention_is_summed_over_all_stages(running: Running) -> None:
    run = running("at")
    step = seen(run, "at")
    assert list(step.student.features) == list(step.teacher.features) == ["stage1", "stage2"]
    features = step.student.features, step.teacher.features
    expected = sum(attention_transfer(features[0][tap], features[1][tap]) for tap in features[0])
    torch.testing.assert_close(run.methods["at"].at(step), expected)


def test_named_taps_replace_the_stages(running: Running) -> None:
    run = running("at", {"student_taps": ["stage2"], "teacher_taps": ["stage1"]})
    step = seen(run, "at")
    expected = attention_transfer(step.student.features["stage2"], step.teacher.features["stage1"])
    torch.testing.assert_close(run.methods["at"].at(step), expected)


def test_relations_read_the_pooled_vectors(running: Running) -> None:
    run = running("rkd")
    step = seen(run, "rkd")
    pair = step.student.features["pooled"], step.teacher.features["pooled"]
    torch.testing.assert_close(run.methods["rkd"].distance(step), distance_relation(*pair))
    torch.testing.assert_close(run.methods["rkd"].angle(step), angle_relation(*pair))


def test_boundaries_count_twice_as_much_a_stage_deeper(running: Running) -> None:
    run = running("ab", student=NET, teacher=frozen(NET))
    step = seen(run, "ab")
    first, second = (
        activation_boundary(s, t) for s, t in zip(step.student.features.values(), step.teacher.features.values(), strict=True)
    )
    torch.testing.assert_close(run.methods["ab"].boundary(step), 0.003 * (first / 2 + second))


def test_the_overhaul_takes_its_margins_from_the_teachers_batchnorm(running: Running) -> None:
    run = running("ofd")
    teacher = run.teachers["teacher"].model
    with torch.no_grad():
        for stage in ("stage1", "stage2"):
            norm_of(teacher, stage).bias.uniform_(-1, 1)
    method = run.methods["ofd"]
    method.setup(run)
    step = seen(run, "ofd")
    losses = []
    for number, stage in enumerate(("stage1", "stage2")):
        norm = norm_of(teacher, stage)
        student = method.connectors[number](step.student.features[f"{stage}.preact"])
        margin = negative_margin(norm.bias, norm.weight)
        losses.append(partial_distance(student, step.teacher.features[f"{stage}.preact"], margin))
    torch.testing.assert_close(method.ofd(step), losses[0] / 2 + losses[1])


def test_review_goes_from_the_pooled_vector_to_the_first_stage(running: Running) -> None:
    run = running("review_kd")
    step, method = seen(run, "review_kd"), run.methods["review_kd"].eval()
    student, teacher = list(step.student.features.values()), list(step.teacher.features.values())
    assert [tuple(x.shape[1:]) for x in teacher] == [(6, 4, 4), (12, 2, 2), (12,)]
    vector, deepest = student[-1][:, :, None, None], teacher[-1][:, :, None, None]
    shown, fused = method.blocks[0](vector, None, (1, 1))
    expected = hierarchical_context(shown, deepest)
    for block, x, y in zip(method.blocks[1:], student[-2::-1], teacher[-2::-1], strict=True):
        shown, fused = block(x, fused, tuple(y.shape[-2:]))
        expected = expected + hierarchical_context(shown, y)
    torch.testing.assert_close(method.review(step), expected)


def test_the_teachers_classifier_judges_the_students_projection(running: Running) -> None:
    run = running("srrl")
    step, method = seen(run, "srrl"), run.methods["srrl"].eval()
    classifier = classifier_of(run.teachers["teacher"].model)
    projected = pooled(method.connector(step.student.features["classified"]))
    torch.testing.assert_close(method.softmax(step), mean_squared_error(classifier(projected), step.teacher.rows.logits))
    torch.testing.assert_close(
        method.features(step), mean_squared_error(projected, step.teacher.features["classified"].mean((2, 3)))
    )


def test_a_mask_belongs_to_its_sample_and_epoch(running: Running) -> None:
    run = running("mgd", {"ratio": 0.5})
    batch = first_window(run)[0]
    whole = run.view(run.step(batch), run.methods["mgd"]).uniform("mask", 12)
    halves = [run.view(run.step(part), run.methods["mgd"]).uniform("mask", 12) for part in run.task.split(batch, 2)]
    assert torch.equal(torch.cat(halves), whole)
    kept = (whole >= 0.5).float().mean()
    assert 0.35 < kept < 0.65


def test_no_masking_generates_from_the_whole_map(running: Running) -> None:
    run = running("mgd", {"ratio": 0.0}, student=NET, teacher=frozen(NET))
    step, method = seen(run, "mgd"), run.methods["mgd"]
    for layer in (method.generator.generation[0], method.generator.generation[2]):
        nn.init.dirac_(layer.weight)
        nn.init.zeros_(layer.bias)
    gap = step.student.features["last"] - step.teacher.features["last"]
    torch.testing.assert_close(method.mgd(step), gap.square().sum((1, 2, 3)).mean())


def test_self_supervised_terms_see_upright_and_rotated_images_apart(running: Running) -> None:
    run = running("sskd")
    step = seen(run, "sskd")
    student, teacher = step.student.rows.logits, step.teacher.rows.logits
    assert len(student) == 4 * 12
    method = run.methods["sskd"]
    torch.testing.assert_close(method.kd(step), softened_kl(student[::4], teacher[::4]))
    rotated = torch.arange(48) % 4 != 0
    torch.testing.assert_close(method.transformed(step), softened_kl(student[rotated], teacher[rotated]))


def test_every_sample_is_followed_by_its_three_rotations(running: Running) -> None:
    run = running("sskd", task={"data": "digits", "train_size": 44, "validation": 1000, "crop": 0})
    batch = first_window(run)[0]
    assert (batch.size, batch.whole, len(batch.target)) == (48, 48, 48)
    for turn in range(4):
        assert torch.equal(batch.inputs[turn::4], batch.inputs[::4].rot90(turn, (2, 3)))
        assert torch.equal(batch.target[turn::4], batch.target[::4])


def test_every_rotation_has_a_crop_of_its_own(running: Running) -> None:
    inputs = first_window(running("sskd", task={"data": "digits", "train_size": 44, "validation": 1000, "crop": 4}))[0].inputs
    turned = [inputs[turn::4].rot90(-turn, (2, 3)) for turn in range(4)]
    same = [torch.equal(a, b) for one, other in combinations(turned, 2) for a, b in zip(one, other, strict=True)]
    assert sum(same) < len(same) / 4


@pytest.mark.parametrize("method", ["kdsvd", "kdsvd_rows", "fsp"])
def test_a_student_that_is_the_teacher_has_nothing_to_learn_between_layers(method: str, running: Running) -> None:
    taps = {"student_taps": ["stages"], "teacher_taps": ["stages"]}
    run = running(method, taps, stage=0, student=NET, teacher=frozen(NET))
    run.student.load_state_dict(run.teachers["teacher"].model.state_dict())
    run.student.eval()
    (name,) = run.methods[method].kdzoo_terms
    assert getattr(run.methods[method], name)(seen(run, method)).abs() < 1e-6


def test_wider_teachers_are_reached_through_one_by_one_convolutions(running: Running) -> None:
    for method in ("cwd", "ickd", "pearson_kd", "wkd_feature"):
        run = running(method, student=NET, teacher=frozen(WIDER))
        total, _ = run.objective(first_window(run)[0])
        grads = torch.autograd.grad(total, list(run.methods[method].parameters()))
        assert all(grad.abs().sum() > 0 for grad in grads if grad.ndim == 4)
