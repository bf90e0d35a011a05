"""Plugins that others cannot simply install."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdzoo import registry


def strangers(settings: Mapping[str, Any]) -> list[str]:
    """The plugins of this recipe that are in no installed package, so that others cannot simply repeat the result."""
    specs = [("methods", spec) for spec in settings["methods"].values()]
    specs += [("transforms", t) for _, spec in specs[:] for kind in ("logits", "targets") for t in spec[kind]]
    specs += [("teachers", spec) for spec in settings["teachers"].values()]
    specs += [("models", settings["student"]), ("tasks", settings["task"])]
    named = {(kind, spec["use"]) for kind, spec in specs if isinstance(spec, Mapping)}
    return sorted(name for kind, name in named if registry.is_local(registry.entry(kind, name)))
