"""Export what a run deploys: weights as safetensors, a graph as ONNX, or a model folder (`from_pretrained`); and model.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.terminal.console import loading, say, show, show_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run folder, or a weights file in one (best.safetensors)")
    parser.add_argument("--format", choices=("safetensors", "onnx", "pretrained"), default="safetensors")
    parser.add_argument("--out", metavar="DIR", help="where to; default `export` in the run folder")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"torch and {args.run}")
    from kdzoo.export import deployed, export

    load_plugins(args)
    place = Path(args.run)
    out = Path(args.out) if args.out else (place if place.is_dir() else place.parent) / "export"
    file = export(deployed(place), out, to=args.format)
    show_json({"file": str(file), "format": args.format}) if args.json else show(str(file))
    say(f"`kdzoo eval {file}` reproduces its accuracy.")
    return 0
