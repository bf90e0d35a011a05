"""Export what a run deploys: a graph for PyTorch or ONNX, weights, or a model folder; with model.json and an example."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.terminal.console import loading, say, show, show_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run folder, or a weights file in one (best.safetensors)")
    parser.add_argument("--format", choices=("torch", "safetensors", "onnx", "pretrained"), default="torch")
    parser.add_argument("--out", metavar="DIR", help="where to; default `export` in the run folder")
    parser.add_argument("--force", action="store_true", help="write over an earlier export")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"torch and {args.run}")
    from kdzoo.export import deployed, export
    from kdzoo.exported_example import EXAMPLE

    load_plugins(args)
    place = Path(args.run)
    out = Path(args.out) if args.out else (place if place.is_dir() else place.parent) / "export"
    file = export(deployed(place), out, to=args.format, force=args.force)
    show_json({"file": str(file), "format": args.format}) if args.json else show(str(file))
    say(f"`kdzoo eval {file}` reproduces its accuracy; {file.parent / EXAMPLE} uses it.")
    return 0
