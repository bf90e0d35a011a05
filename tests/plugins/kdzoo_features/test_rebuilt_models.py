"""Models that are cut, rebuilt or extended: same answers where they must be the same, nothing left over."""

import copy
from functools import partial

import pytest
import torch
from kdzoo_features.cat_kd import ClassMaps
from kdzoo_features.norm import expanded
from kdzoo_features.truncate import up_to
from torch import Tensor, nn

from kdzoo.engine.feature_recorder import FeatureRecorder
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.models.mobilenet import MobileNetV2Half
from kdzoo.models.resnet import resnet8
from kdzoo.models.tap_names import classifier_of, name_taps, norm_of
from kdzoo.models.tiny import MLP, TinyCNN
from kdzoo.models.vgg import vgg8
from kdzoo.testing import first_window

from .conftest import NET, Running, frozen

IMAGES = torch.randn(2, 3, 16, 16)
MODELS = {"resnet8": resnet8, "vgg8": vgg8, "tiny_cnn": TinyCNN, "mobilenet_v2_half": MobileNetV2Half}


def feature(model: nn.Module, tap: str, inputs: Tensor) -> Tensor:
    taps = FeatureRecorder(model, [tap])
    with taps.recording() as features:
        model(inputs)
    return features[tap]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tap", ["stage1", "stage2.preact", "pooled"])
def test_a_cut_model_gives_the_tapped_feature(name: str, tap: str) -> None:
    model = MODELS[name](classes=5).eval()
    torch.testing.assert_close(up_to(model, tap, IMAGES)(IMAGES), feature(model, tap, IMAGES))


def test_a_cut_model_shares_its_parameters_and_holds_no_others() -> None:
    model = resnet8(classes=5)
    cut = up_to(model, "stage2", IMAGES)
    named = dict(model.named_parameters())
    assert all(p is named[name] for name, p in cut.named_parameters())
    assert {name.split(".")[0] for name, _ in cut.named_parameters()} == {"conv1", "bn1", "layer1", "layer2"}


def test_cutting_leaves_modes_and_statistics_alone() -> None:
    model = vgg8(classes=5).train()
    before = copy.deepcopy(model.state_dict())
    up_to(model, "last", IMAGES)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_branch_on_the_inputs_size_is_decided_by_the_example() -> None:
    model = vgg8(classes=5).eval()
    for size in (16, 32):
        images = torch.randn(2, 3, size, size)
        torch.testing.assert_close(up_to(model, "last", images)(images), feature(model, "stage4", images))


class Secretive(nn.Module):
    """Leaves torch in the middle of its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        name_taps(self, stem=None, stages=[], pooled="body", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        x = torch.from_numpy(x.numpy() + 1)
        return self.fc(self.body(x).mean((2, 3)))


def test_a_model_that_leaves_torch_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"Secretive cannot be cut at tap 'pooled' .* traceable by torch\.fx"):
        up_to(Secretive(), "pooled", IMAGES)


# -- SimKD ------------------------------------------------------------------------------------------------------------


def test_the_deployed_student_is_its_trunk_the_projector_and_the_teachers_classifier(running: Running) -> None:
    run = running("sim_kd", teacher=frozen({"use": "tiny_cnn", "widths": [6, 6, 12]}))
    method, teacher, images = run.methods["sim_kd"].eval(), run.teachers["teacher"].model, first_window(run)[0].inputs
    run.student.eval()
    deployed = run.deployed().eval()
    last = nn.functional.adaptive_avg_pool2d(feature(run.student, "stage2", images), 1)
    expected = teacher.fc(method.projector(last).mean((2, 3)))
    torch.testing.assert_close(deployed(images), expected)
    assert not [name for name, _ in deployed.named_parameters() if name.startswith("trunk.fc")]
    assert deployed.classifier.weight is not teacher.fc.weight


def test_a_student_with_the_teachers_features_answers_as_the_teacher(running: Running) -> None:
    run = running("sim_kd", student=NET, teacher=frozen(NET))
    run.methods["sim_kd"].projector = nn.Identity()
    run.student.load_state_dict(run.teachers["teacher"].model.state_dict())
    images = first_window(run)[0].inputs
    torch.testing.assert_close(run.deployed().eval()(images), run.teachers["teacher"].model(images))


# -- CAT-KD -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_class_maps_average_to_the_logits_of_the_base(name: str) -> None:
    base = MODELS[name](classes=5)
    rebuilt = ClassMaps(classes=5, channels=3, size=16, base=lambda **_: base).eval()
    torch.testing.assert_close(rebuilt(IMAGES), base.eval()(IMAGES))
    maps = feature(rebuilt, "class_maps", IMAGES)
    assert maps.shape[1] == 5
    torch.testing.assert_close(maps.mean((2, 3)), rebuilt(IMAGES))


def test_a_rebuilt_model_keeps_the_taps_of_its_trunk() -> None:
    base = resnet8(classes=5)
    rebuilt = ClassMaps(classes=5, channels=3, size=16, base=lambda **_: base).eval()
    torch.testing.assert_close(feature(rebuilt, "stage2", IMAGES), feature(base.eval(), "stage2", IMAGES))


def test_a_base_without_maps_cannot_be_rebuilt() -> None:
    with pytest.raises(RecipeError, match=r"class_maps cannot rebuild MLP"):
        ClassMaps(classes=5, channels=3, size=16, base=partial(MLP, hidden=(8,)))


@pytest.mark.parametrize("name", MODELS)
def test_class_maps_without_bias_average_to_the_logits_less_the_bias(name: str) -> None:
    base = MODELS[name](classes=5)
    nn.init.normal_(classifier_of(base).bias)
    rebuilt = ClassMaps(classes=5, channels=3, size=16, base=lambda **_: base, bias=False).eval()
    torch.testing.assert_close(rebuilt(IMAGES), base.eval()(IMAGES) - classifier_of(base).bias)
    assert [parameter for parameter, _ in rebuilt.maps.named_parameters()] == ["weight"]


def test_the_class_maps_of_student_and_teacher_average_to_their_logits_without_bias(running: Running) -> None:
    run = running("cat_kd", student={"use": "class_maps", "base": NET, "bias": False})
    step = run.view(run.step(first_window(run)[0]), run.methods["cat_kd"])
    student, teacher = run.methods["cat_kd"].maps(step)
    bias = classifier_of(run.teachers["teacher"].model).bias
    torch.testing.assert_close(teacher.mean((2, 3)), step.teacher.rows.logits - bias)
    torch.testing.assert_close(student.mean((2, 3)), step.student.rows.logits)


# -- NORM -------------------------------------------------------------------------------------------------------------


def test_an_expansion_that_restores_nothing_leaves_the_base_as_it_is() -> None:
    base = TinyCNN(classes=5, widths=(4, 8))
    logits = copy.deepcopy(base).eval()(IMAGES)
    model = expanded(classes=5, channels=3, size=16, base=lambda **_: base, width=6, copies=3).eval()
    assert feature(model, "expanded", IMAGES).shape == (2, 18, 4, 4)
    nn.init.zeros_(model.get_submodule("body.1.1.restore.1").weight)
    torch.testing.assert_close(model(IMAGES), logits)


@pytest.mark.parametrize("name", MODELS)
def test_an_expanded_model_keeps_its_other_taps_and_norms(name: str) -> None:
    base = MODELS[name](classes=5).eval()
    before = {tap: feature(base, tap, IMAGES) for tap in ("stage1", "stage2", "stage2.preact")}
    norm = norm_of(base, "stage2")
    model = expanded(classes=5, channels=3, size=16, base=lambda **_: base, width=4, copies=2).eval()
    for tap, value in before.items():
        torch.testing.assert_close(feature(model, tap, IMAGES), value)
    assert norm_of(model, "stage2") is norm


def test_the_deployed_student_has_one_layer_for_two_and_the_same_answers(running: Running) -> None:
    student = {"use": "expanded", "base": NET, "width": 12, "copies": 2}
    run = running("norm", student=student)
    batch = first_window(run)[0]
    for _ in range(3):  # so that the running statistics are not those of the start
        run.optimize("student", run.objective(batch)[0])
    deployed, whole = run.deployed().eval(), run.student.eval()
    torch.testing.assert_close(deployed(batch.inputs), whole(batch.inputs))
    base = sum(p.numel() for p in TinyCNN(classes=10, channels=1, widths=(4, 8)).parameters())
    assert sum(p.numel() for p in deployed.parameters()) == base + 8 * 8 + 8


def test_a_base_of_vectors_cannot_be_expanded() -> None:
    with pytest.raises(RecipeError, match=r"expanded puts layers after a map .* 'stage1' of MLP is of shape \(2, 8\)"):
        expanded(classes=5, channels=3, size=16, base=partial(MLP, hidden=(8,)), width=4)
