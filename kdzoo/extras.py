"""How to install what an extra of kdzoo brings: there is no release yet, so `pip install kdzoo[...]` finds nothing."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import kdzoo

EXTRA = re.compile(r";\s*extra\s*==\s*['\"](?P<extra>[^'\"]+)['\"]")


def checkout() -> Path | None:
    """The clone that kdzoo is imported from; None if it was installed as a wheel."""
    top = Path(kdzoo.__file__).resolve().parents[1]
    return top if (top / "pyproject.toml").is_file() and (top / "recipes").is_dir() else None


def command(extra: str) -> str:
    """The command that installs an extra: from the clone of the repository where that is known, else its packages by name."""
    top = checkout()
    if top is not None:
        return f"pip install -e '{top}[{extra}]'"
    wanted = [EXTRA.sub("", line).strip() for line in metadata.requires("kdzoo") or () if _extra_of(line) == extra]
    return f"pip install {' '.join(map(repr, wanted))}"


def _extra_of(requirement: str) -> str | None:
    found = EXTRA.search(requirement)
    return found["extra"] if found else None
