"""Tests for plugin authors: inherit a contract, name your plugin, and pytest runs the laws on it.

from kdzoo.testing import MethodContract

class TestMine(MethodContract):
    method = "mine"
"""

from kdzoo.testing.analysis import AnalysisContract
from kdzoo.testing.components import DataContract, ModelContract, TaskContract, TeacherContract
from kdzoo.testing.laws import MethodContract
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run
from kdzoo.testing.transform import TransformContract

__all__ = [
    "AnalysisContract",
    "DataContract",
    "MethodContract",
    "ModelContract",
    "TaskContract",
    "TeacherContract",
    "TransformContract",
    "first_window",
    "tiny_recipe",
    "tiny_run",
]
