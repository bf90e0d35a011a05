"""What the model tests share: every net of the CIFAR family, and one forward with all its taps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from kdzoo.models.tap_names import named_taps, resolve

Features = dict[str, Tensor]


@pytest.fixture
def features() -> Callable[[nn.Module, Tensor], Features]:
    """Run a model once; every named tap's value in the order of the dictionary `taps`, and under `answer` what it returned."""

    def run(net: nn.Module, images: Tensor) -> Features:
        found: Features = {}
        versions: dict[str, int] = {}

        def record(name: str, value: Tensor) -> None:
            found[name], versions[name] = value, value._version

        for name in named_taps(net):
            path, is_input, _ = resolve(net, name)
            module = net.get_submodule(path)
            if is_input:
                module.register_forward_pre_hook(lambda _, args, name=name: record(name, args[0]))
            else:
                module.register_forward_hook(lambda _, __, output, name=name: record(name, output))
        answer = net(images)
        overwritten = [name for name, value in found.items() if value._version != versions[name]]
        assert not overwritten, f"changed in place after being tapped: {overwritten}"
        return {name: found[name] for name in named_taps(net)} | {"answer": answer}

    return run
