"""Write `docs/methods.md`: a table of the built-in methods and transforms, from the registry, the recipes and the golden cases.

`python docs/generate.py` writes them; `python docs/generate.py --check` only compares, and exits 1 if a file is out of date.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the golden adapters and the contracts' tiny settings are read from tests/

from kdzoo import Method, Needs, registry  # noqa: E402
from kdzoo.engine.assemble import assemble  # noqa: E402
from kdzoo.engine.results import count, sizes  # noqa: E402
from kdzoo.errors import KdzooError  # noqa: E402
from kdzoo.recipe.build import build  # noqa: E402
from kdzoo.recipe.find import available, hidden  # noqa: E402
from kdzoo.recipe.read import read  # noqa: E402
from kdzoo.registry.source import summary  # noqa: E402
from kdzoo.testing import tiny_recipe  # noqa: E402
from kdzoo.testing.tiny import STUDENT, TEACHER  # noqa: E402

PAGE = ROOT / "docs" / "methods.md"
NONE = "–"
SHOWN = 2
"""Recipes named per method."""
CITATION = re.compile(r'^[^"]+"[^"]+".*?(?:\.(?=\s|$)|\.?$|(?=: ))')
INTRO = """<!-- Written by docs/generate.py: change the docstrings, not this page. -->
# Methods

Every method that comes with kdzoo, by family; [families.md](families.md) introduces them, and `kdzoo show method NAME` prints a
method's formula, settings and deviations from its paper.

- *Terms*: the named losses with their default weights. The labels' loss is a method too, `hard_label`; recipes add it.
- *Needs*: what the engine provides at the default settings ([method.md](method.md) explains the words).
- *Extra parameters*: beside the student's own, in training / in what is deployed. Counted on a tiny pair of networks, at the
  method's default settings where they fit it; – where that pair does not serve the method. The pair is
  {pair}.
- *Golden cases*: stored outputs and gradients of reference code that the tests compare with (`tests/golden`).
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    check = parser.parse_args().check
    try:
        text = page()
    except KdzooError as error:  # a broken recipe or plugin
        print(f"{PAGE.relative_to(ROOT)} cannot be made: {error}", file=sys.stderr)
        return error.exit_code
    if not check:
        PAGE.write_text(text, "utf-8")
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != text:
        print(f"{PAGE.relative_to(ROOT)} is out of date; write it anew by `python docs/generate.py`.", file=sys.stderr)
        return 1
    return 0


def page() -> str:
    """The whole page."""
    families: dict[str, list[str]] = defaultdict(list)
    for name in own("methods"):
        families[family("methods", name)].append(name)
    parts = [INTRO.format(pair=tiny_pair())]
    for package, names in sorted(families.items()):
        header = ("method", "paper", "terms", "needs", "extra parameters", "recipes", "golden cases")
        parts.append(section(package, f"{summary(package)}.", header, [method_row(name) for name in names]))
    rows = [transform_row(name) for name in own("transforms")]
    about = "Pure changes of the logits or targets that one method sees: `kd: {logits: [standardize]}`."
    parts.append(section("transforms", about, ("transform", "paper", "recipes", "golden cases"), rows))
    return "\n".join(parts)


def section(name: str, about: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join([f"## {name}", "", about, "", *(f"| {' | '.join(line)} |" for line in lines), ""])


def method_row(name: str) -> list[str]:
    factory: Any = registry.get("methods", name)
    terms = ", ".join(f"`{term.name}` {term.weight:g}" for term in factory.kdzoo_terms.values())
    try:
        needs = needed(factory().needs())
    except TypeError:  # a setting without default
        needs = NONE
    return [f"`{name}`", paper(factory), terms or NONE, needs, extra(name), *uses("methods", name)]


def transform_row(name: str) -> list[str]:
    return [f"`{name}`", paper(registry.get("transforms", name)), *uses("transforms", name)]


def uses(kind: str, name: str) -> list[str]:
    return [shortened(recipes()[kind, name], name), ", ".join(golden(kind, name)) or NONE]


# -- what the code says of itself ------------------------------------------------------------------------------------------


def own(kind: str) -> list[str]:
    """Names of kdzoo's own plugins of a kind; what else happens to be installed here is not described."""
    return [name for name, entry in registry.discover(kind).items() if entry.distribution == "kdzoo"]


def module_of(kind: str, name: str) -> ModuleType:
    plugin: Any = registry.get(kind, name)
    return sys.modules[plugin.__module__]


def family(kind: str, name: str) -> str:
    return module_of(kind, name).__name__.partition(".")[0]


def paper(plugin: Any) -> str:
    """The citation in a plugin's module docstring: the first paragraph that starts with names and a quoted title."""
    docstring = inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")
    for paragraph in docstring.split("\n\n")[1:]:
        found = CITATION.match(" ".join(paragraph.split()))
        if found:
            return found[0].rstrip(".").replace("|", "\\|")
    return NONE


def needed(needs: Needs) -> str:
    """Needs in words."""
    taps = ("student", needs.student_taps), ("teacher", needs.teacher_taps)
    said = {
        "trainable teacher" if needs.teacher_grad else "teacher": needs.teacher,
        "sample index": needs.index,
        "whole batch": needs.whole_batch,
        f"{needs.learners} learners": needs.learners > 1,
        f"window of {needs.window}": (needs.window or 1) > 1,
    }
    words = [word for word, holds in said.items() if holds]
    words += [f"{role} taps {', '.join(f'`{tap}`' for tap in specs)}" for role, specs in taps if specs]
    words += [f"view `{view}`" for view in sorted(needs.views)]
    words += [f"split `{split}` ({100 * share:g} %)" for split, share in sorted(needs.splits.items())]
    words += [f"a task with `{capability}`" for capability in sorted(needs.capabilities)]
    return "; ".join(words) or NONE


# -- a tiny run ------------------------------------------------------------------------------------------------------------


def tiny_pair() -> str:
    pair: tuple[Any, Any] = (STUDENT, TEACHER)
    nets = [f"{net['use']} {'-'.join(map(str, net['widths']))}" for net in pair]
    run = assemble(tiny_recipe("kd").settings)
    return f"{nets[0]} ({count(run.student)} parameters) learning from {nets[1]} ({count(run.model('teacher'))})"


def extra(name: str) -> str:
    """Parameters beside the plain student's: in training (the methods' and further learners'), and in what is deployed."""
    contracts: Any = importlib.import_module("tests.contract.test_registered_methods")
    contract = contracts.CONTRACTS.get(name, {})
    choices: list[dict[str, Any]] = [{}, contract.get("settings", {})]
    for settings in choices:
        try:
            recipe = tiny_recipe(name, settings, recipe=contract.get("recipe"))
            run = assemble(recipe.settings)
        except KdzooError:
            continue
        found = sizes(run, run.deployed())
        training = found["methods"] + sum(count(net) for net in run.learners.values())
        student = recipe.settings["student"]
        plain = count(run.task.build(build("models", student.get("base") or student, "student")))
        return f"{training - plain} / {found['deployed'] - plain}"
    return NONE


# -- recipes ---------------------------------------------------------------------------------------------------------------


@cache
def recipes() -> Mapping[tuple[str, str], list[str]]:
    """(kind, plugin) -> names of the built-in recipes that use it."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for recipe, path in available().items():
        if path.is_relative_to(ROOT / "recipes") and not hidden(recipe):
            for used in dict.fromkeys(used_in(read(path, folder=path.parent).tree)):
                found[used].append(recipe)
    return found


def used_in(tree: Any) -> Iterator[tuple[str, str]]:
    """Methods and transforms named anywhere in a recipe, in recipes inside it and in a bench's rows, too."""
    if isinstance(tree, list):
        for item in tree:
            yield from used_in(item)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            if key == "methods" and isinstance(value, Mapping):
                yield from (("methods", use_of(spec, label)) for label, spec in value.items())
            if key in ("logits", "targets") and isinstance(value, list):
                yield from (("transforms", use_of(spec, "")) for spec in value)
            yield from used_in(value)


def use_of(spec: Any, label: str) -> str:
    return spec if isinstance(spec, str) else spec.get("use", label) if isinstance(spec, Mapping) else label


def shortened(names: Sequence[str], method: str) -> str:
    """A few of the names, those that are called like the method first."""

    def place(name: str) -> tuple[bool, bool, str]:
        last = name.rsplit("/", 1)[-1]
        return last != method, not last.startswith(method), name

    ordered = sorted(names, key=place)
    rest = ", …" if len(ordered) > SHOWN else ""  # no count, which would change with every new recipe
    return (", ".join(f"`{name}`" for name in ordered[:SHOWN]) + rest) or NONE


# -- golden cases ----------------------------------------------------------------------------------------------------------


def golden(kind: str, name: str) -> list[str]:
    """The golden cases of a plugin: those computed by a function that only its module uses, or else those called like it."""
    module, label = module_of(kind, name), name.replace("_", "")
    mine = {f for f in functions_of(module) if users()[f] == {module.__name__}}
    by_function = [case for case, used in golden_functions().items() if used & mine]
    return by_function or [case for case in golden_functions() if f"{case}_".startswith(f"{label}_")]


@cache
def golden_functions() -> Mapping[str, set[Any]]:
    """Golden case -> the functions and classes of the project that its adapter names."""
    package = importlib.import_module("tests.golden.adapters")
    modules = [importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    adapters = {case: adapter for module in modules for case, adapter in module.ADAPTERS.items()}
    return {case: set(named_by(adapter)) for case, adapter in sorted(adapters.items())}


@cache
def users() -> Mapping[Any, set[str]]:
    """Function -> the plugin modules that define or import it."""
    found: dict[Any, set[str]] = defaultdict(set)
    for kind in ("methods", "transforms"):
        for module in {module_of(kind, name) for name in own(kind)}:
            for function in functions_of(module):
                found[function].add(module.__name__)
    return found


def functions_of(module: ModuleType) -> list[Any]:
    """The project's formulas that a module defines or imports."""
    return [value for value in vars(module).values() if is_formula(value)]


def is_formula(value: object) -> bool:
    home = getattr(value, "__module__", None) or ""
    pure = home.startswith(("kdzoo.functional.", "kdzoo_")) and not home.endswith(".checks")
    return pure and callable(value) and not (isinstance(value, type) and issubclass(value, Method))


def named_by(function: Callable[..., Any]) -> Iterator[Any]:
    """What a function's code names in its module: formulas, also through its helpers and through imported modules."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    names = set(_names(code)) if code else set()
    for value in [vars(sys.modules[function.__module__]).get(name) for name in sorted(names)]:
        if isinstance(value, ModuleType):
            yield from (found for name in sorted(names) if is_formula(found := getattr(value, name, None)))
        elif is_formula(value):
            yield value
        elif inspect.isfunction(value) and value is not function and value.__module__ == function.__module__:
            yield from named_by(value)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


if __name__ == "__main__":
    sys.exit(main())
