"""What label smoothing and distillation have in common, as identities of losses and of their gradients."""

import math

import pytest
import torch
from kdzoo_smoothing.kd_soft import KDSoft
from kdzoo_smoothing.online_ls import class_targets_loss
from torch import Tensor
from torch.nn import functional

from kdzoo.functional.divergence import kl_divergence, soft_cross_entropy, softened_kl
from kdzoo.functional.labels import cross_entropy, smooth_labels, smooth_off_label
from kdzoo.testing import first_window, tiny_recipe, tiny_run

Given = tuple[Tensor, Tensor, Tensor]
EPS = 0.15


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(loss, of, retain_graph=True)[0]


def test_label_smoothing_is_distillation_from_a_teacher_that_says_nothing(rows: Given) -> None:
    student, _, label = rows
    smoothed = cross_entropy(student, smooth_labels(label, student, EPS))
    silent = torch.zeros_like(student)
    distilled = (1 - EPS) * cross_entropy(student, label) + EPS * soft_cross_entropy(student, silent)
    by_kl = (1 - EPS) * cross_entropy(student, label) + EPS * kl_divergence(student, silent)
    torch.testing.assert_close(smoothed, distilled)
    torch.testing.assert_close(smoothed - by_kl, torch.tensor(EPS * math.log(6), dtype=torch.float64))
    torch.testing.assert_close(gradient(smoothed, student), gradient(by_kl, student))


def test_the_two_conventions_differ_by_the_share_of_the_label(rows: Given) -> None:
    student, _, label = rows
    torch.testing.assert_close(smooth_off_label(label, student, EPS), smooth_labels(label, student, EPS * 6 / 5))
    ours = cross_entropy(student, smooth_labels(label, student, EPS))
    torch.testing.assert_close(ours, functional.cross_entropy(student, label, label_smoothing=EPS))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_distillation_rescales_the_gradient_of_the_labels(share: float, temperature: float, rows: Given) -> None:
    """The ratio of the label's gradients is that of all other classes together, and grows with the teacher's confidence."""
    student, teacher, label = rows
    n, at = len(student), torch.arange(len(student))
    by_labels = n * gradient(cross_entropy(student, label), student)
    both = (1 - share) * cross_entropy(student, label) + share * soft_cross_entropy(student, teacher, temperature=temperature)
    by_both = n * gradient(both, student)
    ratio = by_both[at, label] / by_labels[at, label]
    others = (by_both.sum(1) - by_both[at, label]) / (by_labels.sum(1) - by_labels[at, label])
    p, softened, q = (z.softmax(1)[at, label] for z in (student, student / temperature, teacher / temperature))
    torch.testing.assert_close(ratio, others)
    torch.testing.assert_close(ratio, (1 - share) + share / temperature * (q - softened) / (1 - p))
    torch.testing.assert_close(by_labels.abs().sum(1), 2 * (1 - p))


def test_gradients_of_rows_sum_to_zero(rows: Given) -> None:
    student, teacher, label = rows
    nothing = torch.zeros(6, 6, dtype=torch.float64)
    losses = {
        "label smoothing": cross_entropy(student, smooth_off_label(label, student, EPS)),
        "kd_soft": soft_cross_entropy(student, teacher, temperature=2.0),
        "kd": softened_kl(student, teacher, temperature=2.0),
        "online_ls, uniform": class_targets_loss(student, label, nothing + 1 / 6),
        "online_ls, zeros": class_targets_loss(student, label, nothing),
    }
    for name, loss in losses.items():
        total = gradient(loss, student).sum(1)
        torch.testing.assert_close(total, torch.zeros_like(total), msg=name)


def test_at_a_very_high_temperature_centered_logits_are_matched(rows: Given) -> None:
    student, teacher, _ = rows
    found = len(student) * gradient(softened_kl(student, teacher, temperature=1e4), student)
    centered = [z - z.mean(1, keepdim=True) for z in (student, teacher)]
    torch.testing.assert_close(found, (centered[0] - centered[1]) / 6, rtol=1e-2, atol=1e-4)


def term(settings: dict[str, object]) -> tuple[Tensor, Tensor, Tensor]:
    """The term in a run, and the logits of both."""
    with tiny_run(tiny_recipe("kd_soft", settings)) as run:
        step, method = run.step(first_window(run)[0]), run.methods["kd_soft"]
        value = method(run.view(step, method), ["kd_soft"])["kd_soft"]
    return value, step.student.rows.logits, step.teachers["teacher"].rows.logits


def test_at_temperature_1_kd_soft_is_kd_and_the_teachers_entropy() -> None:
    value, student, teacher = term({})
    q = teacher.softmax(-1)
    torch.testing.assert_close(value, softened_kl(student, teacher, temperature=1.0) - (q * q.log()).sum(-1).mean())


def test_the_student_has_the_teachers_temperature_or_one_of_its_own() -> None:
    value, student, teacher = term({"temperature": 3.0})
    torch.testing.assert_close(value, soft_cross_entropy(student, teacher, temperature=3.0))
    value, student, teacher = term({"temperature": 3.0, "student_temperature": 1.0})
    torch.testing.assert_close(value, -((teacher / 3).softmax(-1) * student.log_softmax(-1)).sum(-1).mean())


@pytest.mark.parametrize("name", ["temperature", "student_temperature"])
def test_a_temperature_of_zero_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be > 0, got 0"):
        KDSoft(**{name: 0.0})
