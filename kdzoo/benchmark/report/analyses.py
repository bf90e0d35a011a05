"""The analyses of a bench in its report. Needs no torch."""

from __future__ import annotations

from pathlib import Path

FOLDER, SECTION = "analyses", "section.html"


def sections_in(folder: Path) -> list[str]:
    """The sections of all analyses that were written below a run's or bench's folder, by name."""
    return [file.read_text("utf-8") for file in sorted((folder / FOLDER).glob(f"*/{SECTION}"))]
