"""Show one thing: a method's formula, citation and settings; a recipe with everything filled in; any other plugin."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from kdzoo import registry
from kdzoo.cli import card_cache
from kdzoo.cli.arguments import add_json, add_plugins, load_plugins
from kdzoo.cli.commands.check import is_override
from kdzoo.cli.listing import SHOWN, plural
from kdzoo.errors import RecipeError, nearest
from kdzoo.terminal.console import loading, show, show_json, show_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="[kind] name", help="e.g. `method kd`, `recipe quickstart`, or just `kd`")
    parser.add_argument("--provenance", action="store_true", help="of a recipe: say where each value comes from")
    add_plugins(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    load_plugins(args)
    words = [word for word in args.what if not is_override(word)]
    if not 1 <= len(words) <= 2:
        raise RecipeError("kdzoo show takes a kind and a name, as in `kdzoo show method kd`, or a name alone.")
    kind = plural(words[0]) if len(words) == 2 else kind_of(words[0])
    if kind == "recipes":
        _recipe(words[-1], [word for word in args.what if is_override(word)], args)
    elif kind == "commands":
        raise RecipeError(f"kdzoo show has no card for a command; see `kdzoo {words[-1]} --help`.")
    else:
        _plugin(kind, words[-1], as_json=args.json)
    return 0


def kind_of(name: str) -> str:
    """The only kind of thing that has this name. Raises RecipeError where none has it, or several have."""
    from kdzoo.recipe.find import available

    known = {kind: set(registry.discover(kind)) for kind in SHOWN if kind not in ("recipes", "commands")}
    kinds = [kind for kind, names in known.items() if name in names]
    # A recipe's short name gives way to a plugin's: cifar100/dkd is not what `kdzoo show dkd` asks for.
    if not kinds and any(name in (full, full.rsplit("/", 1)[-1]) for full in available()):
        kinds = ["recipes"]
    if len(kinds) > 1:
        raise RecipeError(f"'{name}' is among the {' and the '.join(kinds)}: say which, as in `kdzoo show {kinds[0]} {name}`.")
    if kinds:
        return kinds[0]
    if name.endswith((".yaml", ".yml")):
        return "recipes"
    close = nearest(name, set().union(*known.values()))
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`kdzoo list` shows what there is."
    raise RecipeError(f"There is nothing called '{name}'; {hint}")


def _recipe(name: str, overrides: Sequence[str], args: argparse.Namespace) -> None:
    from kdzoo.recipe.load import load
    from kdzoo.recipe.paths import leaves

    recipe = load(name, overrides)
    if args.provenance:
        rows = [(path, json.dumps(value, default=str), recipe.provenance[path]) for path, value in leaves(recipe.settings)]
        table = [dict(zip(("path", "value", "from"), row, strict=True)) for row in rows]
        show_json(table) if args.json else show_table(("setting", "value", "from"), rows)
    elif args.json:
        show_json(recipe.settings)
    else:
        show(recipe.yaml().rstrip())


def _plugin(kind: str, name: str, *, as_json: bool) -> None:
    kept = card_cache.kept(kind, name)
    found = kept or _imported(kind, name)
    if as_json:
        show_json(found)
    else:
        _show_card(kind, name, found)
    if kept is None:
        card_cache.keep(kind, name, found)


def _imported(kind: str, name: str) -> card_cache.Card:
    loading(name)
    from kdzoo.cli.card import card

    return card(kind, name)


def _show_card(kind: str, name: str, found: card_cache.Card) -> None:
    show(f"{name}, one of the {kind}, from {found['distribution']}")
    for text in (found["about"], found["class"]):
        if text:
            show(f"\n{text}")
    rows: dict[str, Sequence[Sequence[str]]] = {
        "settings": [(s["name"], s["type"], json.dumps(s["default"], default=str)) for s in found["settings"]],
        "terms": [(term, f"weight {weight:g}") for term, weight in found.get("terms", {}).items()],
        "needs": [(need, json.dumps(value, default=str)) for need, value in (found.get("needs") or {}).items()],
        "wants": [(want, json.dumps(value, default=str)) for want, value in (found.get("wants") or {}).items()],
        "recipes": [(recipe,) for recipe in found["recipes"]],
    }
    for title, listed in rows.items():
        _section(title, listed)


def _section(title: str, rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    show(f"\n{title}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        show("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
