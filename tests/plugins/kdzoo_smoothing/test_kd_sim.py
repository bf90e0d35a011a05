"""KD-sim: a teacher of which only the classifier's weight is used."""

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from kdzoo_smoothing.class_similarity import Negatives, class_cosines, log_similarity
from kdzoo_smoothing.kd_sim import KDSim
from torch import Tensor

from kdzoo import registry
from kdzoo.engine.assemble import assemble
from kdzoo.engine.launch import launch
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.models.tiny import MLP, TinyCNN
from kdzoo.recipe.load import Recipe
from kdzoo.testing import first_window, tiny_recipe, tiny_run

CLASSES, WIDTH = 5, 3
SIGNS: tuple[Negatives, ...] = ("signed", "clamp", "shift")


class Counting(TinyCNN):
    """Counts its forwards, those of all its instances."""

    forwards: ClassVar[int] = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.forwards += 1
        return super().forward(x)


def seven_classes(*, channels: int, size: int) -> MLP:
    return MLP(classes=7, channels=channels, size=size)


class Unnamed(torch.nn.Sequential):
    def __init__(self, *, classes: int, channels: int, size: int) -> None:
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(channels * size * size, classes))


@pytest.fixture(autouse=True)
def _models() -> None:
    for name, model in {"smoothing_counting": Counting, "smoothing_seven": seven_classes, "smoothing_unnamed": Unnamed}.items():
        registry.register("models", name, model)
    Counting.forwards = 0


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def with_teacher(model: str, use: str, out: Path | str = "runs") -> Recipe:
    return tiny_recipe("kd_soft", recipe={"teacher": {"use": use, "model": model}}, out=out)


def test_no_forward_of_the_trained_model_happens_in_a_whole_run(tmp_path: Path) -> None:
    launch(with_teacher("smoothing_counting", "kd_sim", tmp_path))
    assert Counting.forwards == 0


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_the_same_model_as_a_frozen_teacher_is_asked(tmp_path: Path) -> None:
    launch(with_teacher("smoothing_counting", "frozen", tmp_path))
    assert Counting.forwards > 0


def test_the_model_is_let_go_once_its_weight_is_read() -> None:
    run = assemble(with_teacher("smoothing_counting", "kd_sim").settings)
    assert run.teachers["teacher"].model is None
    assert {name: tuple(t.shape) for name, t in run.teachers["teacher"].state_dict().items()} == {"log_rho": (10, 10)}


def test_its_answer_is_the_row_of_the_label() -> None:
    with tiny_run(with_teacher("mlp", "kd_sim")) as run:
        batch = first_window(run)[0]
        answer = run.answer("teacher", batch).rows.logits
        assert torch.equal(answer, run.teachers["teacher"].log_rho[batch.target])


@pytest.mark.parametrize("negatives", SIGNS)
def test_every_class_is_most_alike_to_itself(negatives: Negatives, weight: Tensor) -> None:
    rho = log_similarity(weight, alpha=0.5, negatives=negatives).exp()
    assert rho.argmax(-1).tolist() == list(range(CLASSES))
    torch.testing.assert_close(rho.sum(-1), torch.ones(CLASSES, dtype=torch.float64))


@pytest.mark.parametrize("negatives", SIGNS)
def test_the_length_of_a_row_plays_no_part(negatives: Negatives, weight: Tensor) -> None:
    longer = weight * torch.tensor([0.1, 2.0, 30.0, 1.0, 7.0]).unsqueeze(1)
    torch.testing.assert_close(log_similarity(longer, negatives=negatives), log_similarity(weight, negatives=negatives))


def test_signed_cosines_to_the_power_1_are_plain_cosines(weight: Tensor) -> None:
    torch.testing.assert_close(log_similarity(weight, temperature=0.5), (class_cosines(weight) / 0.5).log_softmax(-1))


@pytest.mark.parametrize("negatives", SIGNS)
def test_a_fraction_as_power_of_negative_cosines_is_finite(negatives: Negatives) -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert torch.isfinite(log_similarity(opposite, alpha=0.3, negatives=negatives)).all()


def test_ten_unrelated_classes_leave_the_label_what_the_card_says() -> None:
    assert log_similarity(torch.eye(10)).exp()[0, 0].item() == pytest.approx(0.943, abs=1e-3)


def test_a_model_with_other_classes_is_a_sentence() -> None:
    with pytest.raises(CapabilityError, match="tells 7 classes apart, the task has 10; use a model that was trained"):
        assemble(with_teacher("smoothing_seven", "kd_sim").settings)


def test_a_model_that_does_not_name_its_classifier_is_a_sentence() -> None:
    with pytest.raises(RecipeError, match="does not say which linear layer is its classifier"):
        assemble(with_teacher("smoothing_unnamed", "kd_sim").settings)


@pytest.mark.parametrize("name", ["alpha", "temperature"])
def test_values_out_of_range_are_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be > 0, got 0"):
        KDSim(model=MLP, **{name: 0.0})
