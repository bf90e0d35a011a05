"""Ask a recipe's cached teachers ahead of its runs, or list the answers that are kept in an output folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.terminal.console import loading, say, show_json, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", help="a recipe with a teacher of the kind `cached`; without it, list what is kept")
    parser.add_argument("overrides", nargs="*", default=[], metavar="key=value", help="change a setting, or remove one by ~key")
    parser.add_argument("--out", default="runs", metavar="DIR", help="the output folder to list (the setting runtime.out)")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading(args.recipe or args.out)
    load_plugins(args)
    rows = _listed(Path(args.out) / "cache") if args.recipe is None else _filled(args.recipe, args.overrides)
    if args.json:
        show_json(rows)
        return 0
    table = [
        (r["teacher"], f"{r['samples']:,}", ", ".join(r["answers"]), f"{r['bytes'] / 1e6:.1f} MB", r["folder"]) for r in rows
    ]
    if not table:
        say(f"No teacher's answers are kept in {args.out}.")
    show_table(("teacher", "samples", "answers", "size", "folder"), table)
    return 0


def _filled(recipe: str, overrides: list[str]) -> list[dict[str, Any]]:
    """Train the recipe's teachers if need be, and ask the cached ones about every training sample."""
    import torch

    from kdzoo.engine.assemble import assemble
    from kdzoo.engine.launch import trained
    from kdzoo.errors import CapabilityError
    from kdzoo.recipe.load import load

    loaded = load(recipe, overrides)
    torch.set_num_threads(loaded.settings["runtime"]["threads"])
    assembled = assemble(loaded.settings, loaded.provenance, train_recipe=trained)
    asked: list[dict[str, Any]] = []
    for name, teacher in assembled.teachers.items():
        fill = getattr(teacher, "fill", None)
        if fill is None:
            continue
        say(f"Asking teacher {name!r} about {assembled.task.pool()} samples.")
        fill(assembled)
        store = cast("Any", teacher).store(assembled)
        asked.append(_row(name, store.folder, store.card(), store.size()))
    if not asked:
        raise CapabilityError(f"{recipe} has no teacher that keeps its answers; set teacher.use=cached.")
    return asked


def _listed(folder: Path) -> list[dict[str, Any]]:
    from kdzoo.teachers.answer_store import CARD, Store

    stores = [Store(card.parent, "", 0) for card in sorted(folder.glob(f"*/{CARD}"))]
    return [_row(store.card()["fingerprint"], store.folder, store.card(), store.size()) for store in stores]


def _row(teacher: str, folder: Path, card: dict[str, Any], size: int) -> dict[str, Any]:
    filled: dict[str, int] = card["filled"]
    return {"teacher": teacher, "samples": card["samples"], "answers": sorted(filled), "bytes": size, "folder": str(folder)}
