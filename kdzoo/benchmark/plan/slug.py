"""Labels as names of folders."""

from __future__ import annotations

import re


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^\w.+-]+", "_", label).strip("._") or "row"
