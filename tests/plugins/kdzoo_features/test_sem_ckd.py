"""SemCKD against its sums written as loops."""

import pytest
import torch
from kdzoo_features.sem_ckd import SemCKD, Similarities, attention
from torch.nn import functional

from kdzoo.errors import CapabilityError
from kdzoo.testing import first_window

from .conftest import Running, frozen, seen

THREE = frozen({"use": "tiny_cnn", "widths": [6, 12, 10]})


def test_the_loss_is_the_weighted_error_of_every_pair_of_stages(running: Running) -> None:
    run = running("sem_ckd", teacher=THREE)
    method, step = run.methods["sem_ckd"].eval(), seen(run, "sem_ckd")
    student, teacher = list(step.student.features.values()), list(step.teacher.features.values())
    batch, total = len(student[0]), 0.0
    for b in range(batch):
        for i, s in enumerate(student):
            energy = []
            for j, t in enumerate(teacher):
                by_student, by_teacher = (x.flatten(1) @ x.flatten(1).T for x in (s, t))
                query = functional.normalize(method.queries[i].layers(by_student), dim=1)[b]
                energy.append(query @ functional.normalize(method.keys[j].layers(by_teacher), dim=1)[b])
            for j, (share, t) in enumerate(zip(torch.stack(energy).softmax(0), teacher, strict=True)):
                side = min(s.shape[2], t.shape[2])
                small, goal = (functional.adaptive_avg_pool2d(x, side) for x in (s, t))
                total += share * functional.mse_loss(method.projections[3 * i + j](small)[b], goal[b])
    torch.testing.assert_close(method.sem_ckd(step), total / (batch * len(student)))


def test_the_weights_of_a_students_stage_sum_to_one(running: Running) -> None:
    run = running("sem_ckd", teacher=THREE)
    method, step = run.methods["sem_ckd"], seen(run, "sem_ckd")
    shares = attention(list(step.student.features.values()), list(step.teacher.features.values()), method.queries, method.keys)
    assert shares.shape == (12, 2, 3)
    torch.testing.assert_close(shares.sum(-1), torch.ones(12, 2))


def test_missing_samples_of_a_short_batch_look_like_nothing() -> None:
    similar, features = Similarities(8), torch.randn(5, 3)
    whole = torch.cat((features, torch.zeros(3, 3)))
    torch.testing.assert_close(similar(features), similar(whole)[:5])


def test_batches_larger_than_the_recipes_are_refused(running: Running) -> None:
    run = running("sem_ckd")
    method, step = run.methods["sem_ckd"], seen(run, "sem_ckd")
    method.size = 8
    with pytest.raises(CapabilityError, match=r"built for batches of train.batch_size=8 .* makes them 12"):
        method.sem_ckd(step)


def test_a_batch_that_is_too_small_to_embed_is_refused(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"train.batch_size is 3; set it to 4 or more"):
        running("sem_ckd", train={"epochs": 1, "batch_size": 3})


def test_vectors_are_refused(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"methods.sem_ckd compares feature maps .* tap 'pooled' of the student"):
        running("sem_ckd", {"student_taps": ["pooled"]})


def test_the_weight_is_the_published_one(running: Running) -> None:
    run = running("sem_ckd")
    assert run.weights_now["sem_ckd"] == {"sem_ckd": 400.0}
    assert isinstance(run.methods["sem_ckd"], SemCKD)
    assert len(first_window(run)[0].inputs) == 12
