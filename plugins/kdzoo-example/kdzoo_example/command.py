"""A command of one's own: `kdzoo example METHOD` prints the terms of a method."""

from __future__ import annotations

import argparse
from typing import Any

from kdzoo import registry


class Example:
    """Print the terms of a method with their default weights."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("method")

    def run(self, args: argparse.Namespace) -> int:
        method: Any = registry.get("methods", args.method)
        for term in method.kdzoo_terms.values():
            print(f"{term.name}\t{term.weight:g}")
        return 0
