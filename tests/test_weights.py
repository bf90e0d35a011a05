"""Weights files that hold something else than tensors by name."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdzoo.errors import KdzooError, RecipeError
from kdzoo.weights import read_weights

STRANGE: dict[str, Any] = {
    "a list": [torch.zeros(2)],
    "nothing": None,
    "a tensor": torch.zeros(2),
    "a number": 3,
    "a mapping to a list": {"weight": [1.0]},
    "a mapping to a mapping": {"state_dict": {"a": {"b": torch.zeros(1)}}},
    "an optimizer's state": {"state": {}, "param_groups": [{"lr": 0.1}]},
}


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_torch_file_without_tensors_by_name(what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"strange{suffix}"
    torch.save(STRANGE[what], path)
    with pytest.raises(RecipeError, match=r"^here: .*strange.* is no weights file: it holds an? .*state_dict\(\)"):
        read_weights(path, "here")


@pytest.mark.parametrize("value", [nn.Linear(2, 2), collections.Counter("ab"), {"args": Path("x")}, print])
def test_a_torch_file_with_code_is_refused_in_our_own_words(value: Any, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "code.pt")
    with pytest.raises(RecipeError) as error:
        read_weights(tmp_path / "code.pt", "here")
    text = str(error.value)
    assert text.startswith("here: ")
    assert not {"weights_only", "add_safe_globals"} & set(text.replace("=", " ").split())
    assert "trust" not in text


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"PK\x03\x04", b"\x80\x02}q", b"version https://git-lfs.github.com/spec/v1\n"]
)
def test_a_file_that_is_no_archive(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content)
    with pytest.raises(KdzooError) as error:
        read_weights(path, "here")
    assert str(path) in str(error.value)
    assert "weights_only" not in str(error.value)


def test_tensors_by_name_are_read(tmp_path: Path) -> None:
    torch.save({"state_dict": nn.Linear(2, 2).state_dict()}, tmp_path / "right.pt")
    assert set(read_weights(tmp_path / "right.pt", "here")) == {"weight", "bias"}
