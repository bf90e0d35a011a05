"""Where kdzoo keeps what it can get or compute again: data, teachers, cards of plugins."""

from __future__ import annotations

from pathlib import Path

CACHE = Path("~/.cache/kdzoo")
