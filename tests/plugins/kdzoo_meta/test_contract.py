"""The laws of the method protocol on this family's methods, at sizes that fit a tiny run."""

from __future__ import annotations

from typing import ClassVar

from kdzoo.testing import MethodContract


class TestMetaDistil(MethodContract):
    method = "metadistil"
    settings: ClassVar = {"quiz": 0.3}
    recipe: ClassVar = {"methods": {"kd": {}}}
    fixed = frozenset({"quiz"})
