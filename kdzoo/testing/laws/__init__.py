"""The laws of the method protocol, as tests that run on any registered method: one file a group of laws."""

from __future__ import annotations

import pytest

from kdzoo.testing.laws.device import DeviceLaws
from kdzoo.testing.laws.hooks import HookLaws
from kdzoo.testing.laws.micro_batches import MicroBatchLaws
from kdzoo.testing.laws.models import ModelLaws
from kdzoo.testing.laws.reproducibility import ReproducibilityLaws
from kdzoo.testing.laws.terms import TermLaws

__all__ = ["MethodContract"]


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
class MethodContract(TermLaws, ReproducibilityLaws, ModelLaws, HookLaws, MicroBatchLaws, DeviceLaws):
    """Inherit and set `method`; every `test_` below is a law that the method keeps.

    Attributes:
        method: the registered name.
        settings: its settings in the tests, where the defaults are too large for a tiny run.
        recipe: top-level sections of the tiny recipe that the method needs otherwise (`student`, `teacher`, ...).
        fixed: float hyper-parameters that act at construction only and cannot follow a schedule.
        reads_back: the host waits for a value of the device in a step; slow on a GPU, so say why beside it.
    """
