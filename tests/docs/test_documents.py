"""What the documents show works: Python runs, recipes load, commands are parsed, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kdzoo import registry
from kdzoo.benchmark.plan.grid import expand
from kdzoo.cli.arguments import Parser
from kdzoo.cli.commands.check import is_override
from kdzoo.cli.dispatch import find as command_of
from kdzoo.recipe.find import find
from kdzoo.recipe.load import load
from kdzoo.registry.entries import LOCAL
from kdzoo.testing import MethodContract

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (?P<name>[\w-]+\.(?:py|yaml))$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://|#)(?P<path>[^)#\s]+)")
COMMAND = re.compile(r"(?:^|&& |\| )(?:uv run )?(?P<command>kdzoo .*?)(?= && | \| |  +#|$)")


@dataclass(frozen=True)
class Block:
    """A fenced block; one that starts with a comment such as `# mine.py` is that file."""

    text: str
    line: int

    @property
    def file(self) -> str | None:
        found = FILE.match(self.text)
        return found["name"] if found else None


def blocks(document: Path, *languages: str) -> Iterator[Block]:
    text = document.read_text("utf-8")
    for found in FENCED.finditer(text):
        if found["language"] in languages:
            yield Block(found["text"], text[: found.start()].count("\n") + 2)


def commands(document: Path) -> Iterator[list[str]]:
    """The words after `kdzoo` of each command in the shell blocks."""
    for block in blocks(document, "", "sh"):
        for line in block.text.replace("\\\n", "").splitlines():
            yield from (shlex.split(found["command"])[1:] for found in COMMAND.finditer(line))


def recipes_of(command: str, args: Any) -> Iterator[str]:
    """The recipes that a command's arguments name."""
    if command in ("run", "bench", "cp") and not args.recipe.startswith("runs/"):  # a run's folder
        yield args.recipe
    elif command == "check":
        yield from (word for word in args.recipes if not is_override(word))
    elif command == "show" and args.what[0] == "recipe":
        yield args.what[1]


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Plugins registered in this block, and the modules of their files, are gone after it."""
    local, modules = dict(LOCAL), set(sys.modules)
    try:
        yield
    finally:
        LOCAL.clear()
        LOCAL.update(local)
        for name in {name for name in sys.modules if name.startswith("kdzoo_file_")} - modules:
            del sys.modules[name]


@pytest.fixture(params=[README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def document(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A document, inside a folder with the files that it shows; teachers are trained once for all documents."""
    monkeypatch.chdir(tmp_path)
    teachers = tmp_path_factory.getbasetemp() / "teachers"
    teachers.mkdir(exist_ok=True)
    Path("runs").mkdir()
    Path("runs/teachers").symlink_to(teachers)
    for block in blocks(request.param, "python", "yaml"):
        if block.file:
            Path(block.file).write_text(block.text)
    with forgotten_afterwards():
        yield request.param


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_python_blocks_run(document: Any) -> None:
    namespace = {"__name__": "__main__"}
    for block in blocks(document, "python"):
        exec(compile("\n" * (block.line - 1) + block.text, str(document), "exec"), namespace)


def test_whole_recipes_load(document: Any) -> None:
    for block in blocks(document, "python"):
        if block.file and "kdzoo_kind" in block.text:  # what the page's `--plugin` names
            registry.load_file(block.file)
    for block in blocks(document, "yaml"):
        if yaml.safe_load(block.text).keys() & {"student", "extends"}:
            file = Path(block.file or f"line{block.line}.yaml")
            file.write_text(block.text)
            assert load(file).settings["methods"] or expand(file).cells


def test_commands_are_known_and_so_are_their_recipes(document: Any) -> None:
    for words in commands(document):
        command, about = command_of(words[0])
        parser = Parser(prog=f"kdzoo {words[0]}", description=about)
        command.add_arguments(parser)
        for recipe in recipes_of(words[0], parser.parse(words[1:])):
            find(recipe, folder=Path.cwd())


def test_links_lead_to_files(document: Any) -> None:
    for found in LINK.finditer(document.read_text("utf-8")):
        assert (document.parent / found["path"]).exists(), found["path"]


def test_the_methods_that_families_names_are_there() -> None:
    named = re.findall(r"`(?P<name>[a-z]\w*)`", (ROOT / "docs" / "families.md").read_text("utf-8"))
    kinds = ("methods", "transforms", "teachers", "tasks", "models", "data")
    known = {name for kind in kinds for name in registry.discover(kind)}
    assert [name for name in named if name not in known and not name.startswith("kdzoo_")] == []


def test_the_readme_starts_with_the_two_lines() -> None:
    alone = {block.text.strip() for block in blocks(README, "")}
    fenced = [line for block in blocks(README, "", "sh", "python", "yaml") for line in block.text.splitlines()]
    first = {word: next(line for line in fenced if word in line) for word in ("kdzoo bench", "pytest")}
    assert first == {
        "kdzoo bench": "pip install uv && uv run kdzoo bench quickstart",
        "pytest": "pip install uv && uv run pytest",
    }
    assert alone >= set(first.values())


class TestTheCompleteMethod(MethodContract):
    """The example of docs/method.md keeps the laws."""

    method = "pooled_hint"

    @pytest.fixture(autouse=True)
    def registered(self, tmp_path: Path) -> Iterator[None]:
        file = tmp_path / "pooled_hint.py"
        file.write_text(next(b.text for b in blocks(ROOT / "docs" / "method.md", "python") if b.file == file.name))
        with forgotten_afterwards():
            registry.load_file(file)
            yield
