"""Comparisons with the baseline that were named before any result was there to be seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kdzoo.benchmark.plan.slug import slug
from kdzoo.benchmark.report.records import DECLARED, PLAN
from kdzoo.engine.files import read_json


def declared(folder: Path, plan: Mapping[str, Any], labels: Collection[str]) -> dict[str, list[str]]:
    """What a bench's folder declared before of comparisons with the plan's baseline, and those of `labels` that are unseen.

    A row with a finished run in this folder, of whatever settings and seed, has been seen. What was declared once stays so, as
    the correction is for all such comparisons; a row whose settings changed since is another row.
    """
    before = read_json(folder / PLAN) or {}
    found: dict[str, list[str]] = dict(before.get(DECLARED, {})) if before.get("baseline") == plan["baseline"] else {}
    for label in labels:
        own = [row["identity"] for row in plan["rows"] if row["label"] == label]
        if own and not any(folder.glob(f"cells/{slug(label)}/*/result.json")):
            found[label] = sorted({*found.get(label, ()), *own})
    return found
