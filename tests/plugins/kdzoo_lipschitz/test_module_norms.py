"""`kdzoo analyze lipschitz`: norms and bounds of the modules of a student beside its teacher's, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from kdzoo_lipschitz.module_norms import transmitting_norm
from torch import Tensor, nn

from kdzoo.analysis.chosen import chosen
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.models.tiny import MLP, TinyCNN
from kdzoo.protocol.analysis import Answers, Findings, Measured, MeasuredModel
from kdzoo.protocol.figures import Bars, Line, plain

IMAGES = torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def model(network: nn.Module, taps: Mapping[str, str]) -> MeasuredModel:
    """What a network says of the images, with the outputs of some of its modules under the names of taps."""
    kept: dict[str, Tensor] = {}
    modules = dict(network.eval().named_modules())
    for tap, path in taps.items():
        modules[path].register_forward_hook(lambda _, __, out, tap=tap: kept.update({tap: out}))  # type: ignore[misc]
    with torch.no_grad():
        logits = network(IMAGES)
    for tap in taps:
        modules[taps[tap]]._forward_hooks.clear()
    return MeasuredModel({"test": Answers(torch.arange(len(IMAGES)), logits, None, kept)}, module=network)


def cnn(*widths: int) -> MeasuredModel:
    torch.manual_seed(sum(widths))
    return model(TinyCNN(classes=3, channels=1, widths=widths), {f"stage{n + 1}": f"body.{n}" for n in range(len(widths))})


def run(student: MeasuredModel, teacher: MeasuredModel, **epochs: MeasuredModel) -> Measured:
    earlier = {int(epoch.removeprefix("e")): each for epoch, each in epochs.items()}
    return Measured("small", Path(), {}, student, teacher, earlier, trained=9)


def analyzed(*runs: Measured, **settings: Any) -> Findings:
    return chosen({"lipschitz": {"taps": ["stages"], **settings}})["lipschitz"].analyze(list(runs))


def test_the_norm_is_the_mean_largest_singular_value_of_the_products_of_maps() -> None:
    first, second = torch.randn(70, 3, 4, 4), torch.randn(70, 5, 4, 4)
    expected = [torch.linalg.svdvals(a.flatten(1) @ b.flatten(1).T / 16)[0] for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(transmitting_norm(first, second), torch.stack(expected).mean())


def test_a_student_that_is_its_teacher_has_its_norms_and_bounds() -> None:
    found = analyzed(run(cnn(4, 6, 8), cnn(4, 6, 8))).values["small"]
    assert found["student"] == found["teacher"]
    assert found["modules"] == ["stage1 → stage2", "stage2 → stage3"]
    assert all(value > 0 for kind in ("norms", "bounds") for value in found["student"][kind])


def test_epochs_are_in_the_findings_and_the_teacher_is_a_level_beside_them() -> None:
    one = run(cnn(4, 6, 8), cnn(8, 8, 8), e2=cnn(4, 6, 9), e5=cnn(4, 6, 10))
    findings = analyzed(one)
    values = findings.values["small"]
    assert list(values["epochs"]) == ["2", "5", "9"]
    assert not findings.notes
    bars, lines = findings.figures
    heights = [plain(mark.heights) for mark in bars.panels[0].marks if isinstance(mark, Bars)]
    assert heights == [values["student"]["norms"], values["teacher"]["norms"]]
    first, level, *_ = (mark for mark in lines.panels[0].marks if isinstance(mark, Line))
    assert plain(first.x) == [2, 5, 9]
    assert plain(first.y) == [values["epochs"][epoch]["norms"][0] for epoch in ("2", "5", "9")]
    assert plain(level.y) == [values["teacher"]["norms"][0]] * 2


def test_vectors_are_maps_of_one_place() -> None:
    network = MLP(classes=3, channels=1, size=12, hidden=(5, 4))
    one = model(network, {"stage1": "body.0.1", "stage2": "body.1.1"})
    features = one.splits["test"].features
    (norm,) = analyzed(run(one, one)).values["small"]["student"]["norms"]
    torch.testing.assert_close(norm, (features["stage1"].norm(dim=1) * features["stage2"].norm(dim=1)).mean().item())


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3)
        self.taps = {"stage1": "first", "stage2": "second"}

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).square()).mean((2, 3))


def test_a_module_without_a_known_constant_is_reported_and_its_norm_is_there() -> None:
    odd = model(Odd(), {"stage1": "first", "stage2": "second"})
    findings = analyzed(run(odd, cnn(3, 3)))
    values = findings.values["small"]
    assert values["student"]["bounds"][0] != values["student"]["bounds"][0]
    assert values["student"]["norms"][0] > 0
    assert "small: the module of its student up to stage2 has no bound: the constant of square is not known." in findings.notes


def test_without_earlier_epochs_it_is_said_how_to_keep_them() -> None:
    assert any("runtime.keep" in note for note in analyzed(run(cnn(4, 6), cnn(4, 6))).notes)


@pytest.mark.parametrize(("student", "teacher"), [((4, 6), (4, 6, 8)), ((4,), (4,))])
def test_modules_that_cannot_be_paired_are_refused(student: tuple[int, ...], teacher: tuple[int, ...]) -> None:
    expected = f"small has {len(student)} .* in its student and {len(teacher)} .* in its teacher; name two or more taps"
    with pytest.raises(CapabilityError, match=expected):
        analyzed(run(cnn(*student), cnn(*teacher)))


def test_sequences_are_refused() -> None:
    one = cnn(4, 6)
    answers = one.splits["test"]
    tokens = {tap: feature.flatten(2) for tap, feature in answers.features.items()}
    other = MeasuredModel({"test": Answers(answers.index, answers.logits, None, tokens)}, module=one.module)
    with pytest.raises(CapabilityError, match=r"tap 'stage1' of the run small has shape \(4, 36\)"):
        analyzed(run(other, other))


def test_samples_out_of_range_are_refused() -> None:
    with pytest.raises(RecipeError, match="samples must be"):
        analyzed(samples=0)
