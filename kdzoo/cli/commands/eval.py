"""Evaluate a run's deployed student, or an exported one, on test again, and compare with what the run said."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.terminal.console import loading, say, show_json, show_table, warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a run folder, an exported folder, a .safetensors or a .onnx file")
    parser.add_argument("--recipe", help="the recipe of a weights file that lies alone")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"torch, {args.model} and its data")
    from kdzoo.export import deployed, evaluated

    load_plugins(args)
    model = deployed(Path(args.model), recipe=args.recipe)
    metrics = evaluated(model)
    if args.json:
        show_json(metrics)
    else:
        show_table(("metric", "test"), [(name, f"{value:.4g}") for name, value in metrics.items()])
    if model.test is not None:
        _compare(metrics, model.test)
    return 0


def _compare(metrics: Mapping[str, float], said: Mapping[str, float]) -> None:
    other = [f"{name} {value!r} instead of {said[name]!r}" for name, value in metrics.items() if said.get(name) != value]
    if other:
        warn(f"this is not exactly what the run said: {', '.join(other)} (another device, version or file format).")
    else:
        say("exactly what the run said.")
