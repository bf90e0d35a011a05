"""What a search found, as it stands in `tuned.json`, and as `bench.tuned` lays it over the rows. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdzoo.errors import RecipeError

FORMAT = 1
FILE = "tuned.json"


def read_found(path: str) -> Mapping[str, Mapping[str, Any]]:
    """Row -> its trials, space and best values. Raises RecipeError for what is no finished search."""
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RecipeError(f"bench.tuned: {path} cannot be read ({reason}); give the {FILE} that `kdzoo tune` named.") from None
    if not isinstance(found, dict) or "rows" not in found or found.get("format") != FORMAT:
        raise RecipeError(f"bench.tuned: {path} is no search of this kdzoo; give the {FILE} that `kdzoo tune` named.")
    for label, row in found["rows"].items():
        if row["space"] and len(row["trials"]) < found["trials"]:
            raise RecipeError(
                f"bench.tuned: the search in {path} is not finished: {label} has {len(row['trials'])} of {found['trials']} "
                "trials. The same `kdzoo tune` goes on with it."
            )
        if row["space"] and row["best"] is None:
            raise RecipeError(f"bench.tuned: in {path}, all trials of {label} failed: {row['trials'][-1]['error']}")
    rows: Mapping[str, Mapping[str, Any]] = found["rows"]
    return rows


def chosen_values(row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Path -> value that a row gets."""
    return (row or {}).get("best", {}).get("values", {}) if row and row["best"] else {}


def shown(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What stands in a plan: how many trials, how many of them failed, the space, and what was chosen."""
    if row is None or not row["space"]:
        return None
    failed = sum("error" in trial for trial in row["trials"])
    return {"trials": len(row["trials"]), "failed": failed, "space": row["space"], "values": row["best"]["values"]}
