"""Every loss that kdzoo.functional exports has an example, and every example gives what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest
import torch

from kdzoo import functional

MODULES = [module.name for module in pkgutil.iter_modules(functional.__path__, "kdzoo.functional.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), extraglobs={"torch": torch})
    assert not found.failed


@pytest.mark.parametrize("name", functional.__all__)
def test_an_exported_loss_has_an_example_and_a_formula(name: str) -> None:
    text = getattr(functional, name).__doc__ or ""
    assert f"{name}(" in text
    assert ">>>" in text


def test_what_is_exported_is_listed_and_an_unknown_name_is_an_attribute_error() -> None:
    assert set(functional.__all__) <= set(dir(functional))
    with pytest.raises(AttributeError, match=r"kdzoo\.functional has no loss 'softend_kl'; did you mean 'softened_kl'"):
        _ = functional.softend_kl
