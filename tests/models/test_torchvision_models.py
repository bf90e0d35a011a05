from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdzoo.errors import MissingError, RecipeError
from kdzoo.models.tap_names import classifier_of, expand, named_taps, norm_of
from kdzoo.models.torchvision import torchvision

# Channels and sizes of the stem and the stages for images of 64 pixels, from the papers' tables of the architectures.
STAGES = {
    "resnet18": [(64, 32), (64, 16), (128, 8), (256, 4), (512, 2)],
    "wide_resnet50_2": [(64, 32), (256, 16), (512, 8), (1024, 4), (2048, 2)],
    "mobilenet_v2": [(32, 32), (24, 16), (32, 8), (96, 4), (320, 2)],
    "mobilenet_v3_small": [(16, 32), (16, 16), (24, 8), (48, 4), (96, 2)],
    "mobilenet_v3_large": [(16, 32), (24, 16), (40, 8), (112, 4), (160, 2)],
    "vgg11": [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)],
    "vgg16_bn": [(64, 64), (128, 32), (256, 16), (512, 8), (512, 4)],
    "densenet121": [(64, 32), (256, 16), (512, 8), (1024, 4), (1024, 2)],
    "efficientnet_b0": [(32, 32), (24, 16), (40, 8), (112, 4), (320, 2)],
    "efficientnet_v2_s": [(24, 32), (48, 16), (64, 8), (160, 4), (256, 2)],
    "shufflenet_v2_x1_0": [(24, 32), (116, 8), (232, 4), (464, 2)],
    "convnext_tiny": [(96, 16), (96, 16), (192, 8), (384, 4), (768, 2)],
}
POOLED_ONLY = {"swin_t": 768, "vit_b_32": 768, "googlenet": 1024, "mnasnet0_5": 1280, "alexnet": 4096}


def built(name: str, *, classes: int = 5, channels: int = 3, size: int = 64) -> nn.Module:
    with torch.device("meta"):
        return torchvision(name=name, classes=classes, channels=channels, size=size)


@pytest.mark.parametrize("name", list(STAGES))
def test_the_stages_of_a_known_family_are_tapped_at_each_resolution(name: str, features: Any) -> None:
    net = built(name)
    found = features(net, torch.empty(2, 3, 64, 64, device="meta"))
    maps = [found[tap] for tap in ["stem", *expand(net, ["stages"])]]
    assert [(m.shape[1], m.shape[2]) for m in maps] == STAGES[name]
    assert found["logits"].shape == (2, 5)


def test_a_regnet_is_tapped_at_each_resolution(features: Any) -> None:
    net = torchvision(name="regnet_x_400mf", classes=5)
    with torch.no_grad():
        found = features(net, torch.randn(2, 3, 64, 64))
    assert [(found[f"stage{n}"].shape[1], found[f"stage{n}"].shape[2]) for n in range(1, 5)] == [
        (32, 16),
        (64, 8),
        (160, 4),
        (400, 2),
    ]
    for n in range(1, 5):
        assert torch.equal(found[f"stage{n}"], found[f"stage{n}.preact"].relu())


@pytest.mark.parametrize("name", list(POOLED_ONLY))
def test_a_family_without_stages_still_has_pooled_and_logits(name: str, features: Any) -> None:
    net = built(name)
    assert list(named_taps(net)) == ["pooled", "logits"]
    found = features(net, torch.empty(2, 3, 64, 64, device="meta"))
    assert found["pooled"].shape == (2, POOLED_ONLY[name])
    assert found["answer"].shape == (2, 5)


def test_the_taps_of_a_resnet_hold_what_the_forward_computed(features: Any) -> None:
    torch.manual_seed(0)
    net = torchvision(name="resnet18", classes=5).eval()
    with torch.no_grad():
        found = features(net, torch.randn(2, 3, 32, 32))
        assert torch.equal(classifier_of(net)(found["pooled"]), found["answer"])
    for stage in expand(net, ["stages"]):
        assert torch.equal(found[stage], found[f"{stage}.preact"].relu())
        assert bool((found[f"{stage}.preact"] < 0).any())
        assert norm_of(net, stage).num_features == found[stage].shape[1]


def test_the_taps_of_a_vgg_hold_what_the_forward_computed(features: Any) -> None:
    net = built("vgg11_bn")
    assert norm_of(net, "stage4").num_features == 512
    layers = dict(net.named_modules())
    assert isinstance(layers[named_taps(net)["stage4"]], nn.ReLU)


def test_a_model_with_auxiliary_classifiers_returns_one_tensor_in_training() -> None:
    answer = built("googlenet").train()(torch.empty(2, 3, 64, 64, device="meta"))
    assert answer.shape == (2, 5)
    answer = built("inception_v3", size=96).train()(torch.empty(2, 3, 96, 96, device="meta"))
    assert answer.shape == (2, 5)


def test_a_vision_transformer_is_built_for_the_tasks_size() -> None:
    assert built("vit_b_32", size=96)(torch.empty(1, 3, 96, 96, device="meta")).shape == (1, 5)


def test_a_size_that_a_transformer_cannot_cut_into_patches_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"torchvision's vit_b_32 refuses images of size 65: .*Choose another size or model"):
        built("vit_b_32", size=65)


def test_squeezenet_works_without_named_taps() -> None:
    net = built("squeezenet1_1")
    assert named_taps(net) == {}
    assert net(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 5)


def test_a_gray_image_counts_as_three_equal_channels() -> None:
    torch.manual_seed(0)
    color = torchvision(name="shufflenet_v2_x0_5", classes=5).eval()
    torch.manual_seed(0)
    gray = torchvision(name="shufflenet_v2_x0_5", classes=5, channels=1).eval()
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(gray(images), color(images.expand(-1, 3, -1, -1)))


def test_nothing_works_in_place() -> None:
    assert not any(getattr(layer, "inplace", False) for layer in built("mobilenet_v3_small").modules())


@pytest.fixture
def trained(tmp_path: Path) -> tuple[nn.Module, str]:
    """A model and the file of its weights, the way torch saves them."""
    torch.manual_seed(1)
    net = torchvision(name="shufflenet_v2_x0_5", classes=5).eval()
    file = tmp_path / "net.pth"
    torch.save(net.state_dict(), file)
    return net, str(file)


def test_weights_come_from_a_torch_file(trained: tuple[nn.Module, str]) -> None:
    net, file = trained
    loaded = torchvision(name="shufflenet_v2_x0_5", classes=5, weights=file).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(images), net(images))


def test_weights_come_from_a_safetensors_file_and_fit_gray_images(trained: tuple[nn.Module, str], tmp_path: Path) -> None:
    net, _ = trained
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    loaded = torchvision(name="shufflenet_v2_x0_5", classes=5, channels=1, weights=str(tmp_path / "net.safetensors")).eval()
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(loaded(images), net(images.expand(-1, 3, -1, -1)))


def test_weights_for_other_classes_are_refused_unless_the_head_is_fresh(trained: tuple[nn.Module, str]) -> None:
    net, file = trained
    with pytest.raises(RecipeError, match=r"does not fit torchvision's ShuffleNetV2: size mismatch for fc.* set `head: fresh`"):
        torchvision(name="shufflenet_v2_x0_5", classes=7, weights=file)
    loaded = torchvision(name="shufflenet_v2_x0_5", classes=7, weights=file, head="fresh")
    assert classifier_of(loaded).out_features == 7
    assert torch.equal(loaded.conv1[0].weight, net.conv1[0].weight)


def test_weights_of_another_architecture_are_refused(trained: tuple[nn.Module, str]) -> None:
    with pytest.raises(RecipeError, match="does not fit torchvision's MobileNetV3: Missing key"):
        torchvision(name="mobilenet_v3_small", classes=5, weights=trained[1])


def test_weights_are_never_downloaded(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"there is no file .*DEFAULT"):
        torchvision(name="shufflenet_v2_x0_5", classes=5, weights=str(tmp_path / "DEFAULT"))


def test_published_files_with_older_names_and_auxiliary_classifiers_load(tmp_path: Path) -> None:
    net = torchvision(name="densenet121", classes=5)
    older = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in net.state_dict().items()}
    assert older.keys() != net.state_dict().keys()
    torch.save(older | {"aux1.fc1.weight": torch.ones(1)}, tmp_path / "old.pth")
    loaded = torchvision(name="densenet121", classes=5, weights=str(tmp_path / "old.pth"))
    assert torch.equal(classifier_of(loaded).weight, classifier_of(net).weight)


def test_published_googlenet_weights_bring_their_input_scaling_and_refuse_gray_images(tmp_path: Path) -> None:
    net = torchvision(name="googlenet", classes=5)
    assert net.transform_input is False
    torch.save(net.state_dict(), tmp_path / "net.pth")
    assert torchvision(name="googlenet", classes=5, weights=str(tmp_path / "net.pth")).transform_input is True
    with pytest.raises(RecipeError, match="weights of GoogLeNet are for 3 channels, the task has 1"):
        torchvision(name="googlenet", classes=5, channels=1, weights=str(tmp_path / "net.pth"))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"torchvision has no classification model 'resnet19'; did you mean 'resnet18'"):
        torchvision(name="resnet19", classes=5)


def test_a_segmentation_model_is_not_a_classification_model() -> None:
    with pytest.raises(RecipeError, match="no classification model 'fcn_resnet50'"):
        torchvision(name="fcn_resnet50", classes=5)


def test_other_channel_counts_are_refused() -> None:
    with pytest.raises(RecipeError, match="torchvision models take 1 or 3 channels, the task has 4"):
        torchvision(name="resnet18", classes=5, channels=4)


@pytest.mark.parametrize("cause", [RuntimeError("operator torchvision::nms does not exist"), ImportError("no such library")])
def test_a_torchvision_that_cannot_be_imported_is_one_sentence_with_the_remedy(
    cause: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {cause!r}\n")
    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MissingError, match=rf"torchvision cannot be imported \({cause}\).* `pip install --force-reinstall torch torchvision`"
    ):
        torchvision(name="resnet18", classes=5)


def test_the_plugin_module_does_not_import_torchvision() -> None:
    code = "import sys, kdzoo.models.torchvision; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
