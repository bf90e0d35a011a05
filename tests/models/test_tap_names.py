from __future__ import annotations

import pytest
from torch import nn

from kdzoo.errors import PluginError, RecipeError
from kdzoo.models.resnet import resnet8
from kdzoo.models.tap_names import classifier_of, expand, named_taps, norm_of, resolve
from kdzoo.models.tiny import LinearNet, TinyCNN


@pytest.fixture
def net() -> nn.Module:
    return resnet8(classes=4)


@pytest.fixture
def own() -> nn.Module:
    """A user's module that knows nothing of kdzoo."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))


def test_a_tap_name_resolves_to_its_module(net: nn.Module) -> None:
    assert resolve(net, "stage2")[:2] == ("layer2", False)


def test_a_preact_tap_resolves_to_the_input_of_the_relu(net: nn.Module) -> None:
    assert resolve(net, "stage2.preact")[:2] == ("layer2.0.relu2", True)


def test_a_module_path_resolves_to_itself_or_its_input(net: nn.Module) -> None:
    assert resolve(net, "layer1.0.bn1")[:2] == ("layer1.0.bn1", False)
    assert resolve(net, "layer1.0.bn1:input")[:2] == ("layer1.0.bn1", True)


def test_the_input_of_a_named_tap_can_be_asked_for(net: nn.Module) -> None:
    assert resolve(net, "stage2:input")[:2] == ("layer2", True)


def test_a_module_without_taps_takes_module_paths(own: nn.Module) -> None:
    assert named_taps(own) == {}
    assert resolve(own, "1:input")[:2] == ("1", True)


def test_a_misspelled_tap_gets_the_nearest_name(net: nn.Module) -> None:
    with pytest.raises(
        RecipeError, match=r"model ResNet has neither a tap nor a module called 'stagge2'; did you mean 'stage2'"
    ):
        resolve(net, "stagge2")


def test_a_misspelled_path_gets_the_nearest_path(net: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"did you mean 'layer1\.0\.conv1'"):
        resolve(net, "layer1.0.convv1")


def test_a_name_like_none_gets_the_taps_listed(net: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"its taps are 'stem', 'stage1', .*'pooled', 'logits'\.$"):
        resolve(net, "xyzzy")


def test_a_module_without_taps_gets_its_paths_listed_and_the_remedy(own: nn.Module) -> None:
    with pytest.raises(
        RecipeError, match=r"names no taps, so name a module path such as '0', '1', '2', '3', or set a dictionary `taps`"
    ):
        resolve(own, "stage1")


def test_an_unknown_suffix_is_not_taken_for_an_input(net: nn.Module) -> None:
    with pytest.raises(RecipeError, match="called 'stage1:output'"):
        resolve(net, "stage1:output")


def test_a_models_own_tap_that_points_nowhere_is_the_models_fault(own: nn.Module) -> None:
    own.taps = {"stage1": "layer9"}
    with pytest.raises(
        PluginError, match="maps its tap 'stage1' to 'layer9', which is none of its modules; correct its `taps`"
    ):
        resolve(own, "stage1")


def test_a_submodule_called_taps_is_not_a_dictionary_of_taps() -> None:
    odd = nn.ModuleDict({"taps": nn.Linear(2, 2)})
    assert named_taps(odd) == {}


def test_stages_expands_to_every_stage_in_order(net: nn.Module) -> None:
    assert expand(net, ["stem", "stages", "pooled"]) == ("stem", "stage1", "stage2", "stage3", "pooled")


def test_last_is_the_last_stage(net: nn.Module) -> None:
    assert expand(net, ["last", "last.preact"]) == ("stage3", "stage3.preact")


def test_stages_before_the_relu_expand_too(net: nn.Module) -> None:
    assert expand(net, ["stages.preact"]) == ("stage1.preact", "stage2.preact", "stage3.preact")


def test_more_than_nine_stages_keep_their_order() -> None:
    assert expand(TinyCNN(classes=2, widths=(2,) * 11), ["stages"]) == tuple(f"stage{n}" for n in range(1, 12))


def test_repetitions_are_dropped(net: nn.Module) -> None:
    assert expand(net, ["stage3", "last", "stages"]) == ("stage3", "stage1", "stage2")


def test_paths_pass_through_expansion_unchanged(own: nn.Module) -> None:
    assert expand(own, ["0", "1:input"]) == ("0", "1:input")


def test_groups_of_a_module_without_taps_are_refused_with_the_remedy(own: nn.Module) -> None:
    with pytest.raises(
        RecipeError, match=r"model Sequential has no taps for 'stages'; the model names no taps, so name a module path"
    ):
        expand(own, ["stages"])


def test_groups_of_a_model_without_stages_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"model LinearNet has no taps for 'last'; its taps are 'pooled', 'logits'"):
        expand(LinearNet(classes=2, size=4), ["last"])


def test_the_classifier_is_the_named_linear_layer(net: nn.Module) -> None:
    assert classifier_of(net) is net.fc


def test_a_model_that_names_no_classifier_gets_its_linear_layers_listed(own: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"set `classifier_path` on the model\. Its linear layers are '3'"):
        classifier_of(own)


def test_the_batchnorm_before_a_stages_relu_is_found(net: nn.Module) -> None:
    assert norm_of(net, "stage3") is net.layer3[0].bn2


def test_a_model_without_named_batchnorms_is_told_so(own: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"names no BatchNorm before the last ReLU of 'stage1' \(`norms` has none\)"):
        norm_of(own, "stage1")
