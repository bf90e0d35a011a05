"""Evaluate a run's deployed student, or an exported one, on test again, and compare with what the run said.

It also says what is otherwise than in the run: versions, machine, processes, plugin files, teachers, data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.sameness import compare
from kdzoo.terminal.console import loading, show_json, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a run folder, an exported folder, a .safetensors or a .onnx file")
    parser.add_argument("--recipe", help="the recipe of a weights file that lies alone")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(f"torch, {args.model} and its data")
    from kdzoo.export import deployed, differences, evaluated

    load_plugins(args)
    model = deployed(Path(args.model), recipe=args.recipe)
    metrics = evaluated(model)
    if args.json:
        show_json(metrics)
    else:
        show_table(("metric", "test"), [(name, f"{value:.4g}") for name, value in metrics.items()])
    if model.test is not None:
        compare(metrics, model.test, differences(model))
    return 0
