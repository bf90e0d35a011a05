"""SDD: logits of many regions."""

from typing import Any

import pytest
import torch
from kdzoo_features.sdd import SDD, region_kl, region_weights, regions

from kdzoo.errors import CapabilityError
from kdzoo.functional.divergence import softened_kl
from kdzoo.models.tap_names import classifier_of

from .conftest import NET, Running, frozen, seen

MAPS = {"use": "class_maps", "base": NET}


@pytest.fixture
def rows() -> tuple[Any, Any, torch.Tensor]:
    """Student logits, teacher logits and labels: (6, 5), (6, 5), (6,)."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(6, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return student, teacher, torch.tensor([0, 1, 2, 3, 4, 0])


def test_one_region_is_kd(rows: tuple[Any, Any, torch.Tensor]) -> None:
    student, teacher, target = rows
    torch.testing.assert_close(region_kl(student.unsqueeze(-1), teacher.unsqueeze(-1), target), softened_kl(student, teacher))


def test_a_region_that_disagrees_with_the_whole_image_counts_twice() -> None:
    right, wrong = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    teacher = torch.stack((torch.stack((right, right, wrong), -1), torch.stack((wrong, wrong, right), -1)))
    assert region_weights(teacher, torch.tensor([0, 0])).tolist() == [[1.0, 1.0, 2.0], [1.0, 1.0, 2.0]]


def test_a_masked_sample_does_not_count() -> None:
    student, teacher, target = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor([0, 1, 2])
    weight = torch.tensor([1.0, 1.0, 0.0])
    masked = region_kl(student, teacher, target, weight=weight)
    torch.testing.assert_close(masked, region_kl(student[:2], teacher[:2], target[:2]))


def test_regions_are_the_image_its_quarters_and_its_sixteenths() -> None:
    maps = torch.arange(64.0).view(1, 1, 8, 8)
    found = regions(maps)[0, 0]
    assert found.shape == (21,)
    assert found[0] == maps.mean()
    assert found[1:5].tolist() == [13.5, 17.5, 45.5, 49.5]
    assert found[5] == maps[..., :2, :2].mean()


def test_a_regions_logits_are_the_classifier_on_the_pooled_cell(running: Running) -> None:
    run = running("sdd", student=MAPS, task={"data": "digits", "train_size": 44, "validation": 1000, "crop": 1})
    step, method = seen(run, "sdd"), run.methods["sdd"]
    classifier, features = classifier_of(run.teachers["teacher"].model), step.teacher.features["classified"]
    cells = regions(features)  # (B, C, N)
    teacher = torch.stack([classifier(cell) for cell in cells.unbind(-1)], -1)
    torch.testing.assert_close(teacher[..., 0], step.teacher.rows.logits)
    student = regions(step.student.features["class_maps"])
    torch.testing.assert_close(student[..., 0], step.student.rows.logits)
    torch.testing.assert_close(method.sdd(step), region_kl(student, teacher, step.student.rows.target))


def test_scales_without_the_whole_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scales must begin with 1, the whole image, got \[2, 4\]"):
        SDD(scales=(2, 4))


def test_a_teacher_whose_classifier_reads_another_map_is_refused(running: Running) -> None:
    with pytest.raises(CapabilityError, match=r"methods.sdd reads the teacher's classifier at tap 'stage1'"):
        running("sdd", {"teacher_tap": "stage1"}, student=MAPS, teacher=frozen({"use": "tiny_cnn", "widths": [6, 12]}))
