"""Cards in the user's cache: of any distribution alike, only while nothing changed, and harmless where none can be kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.cli import card_cache
from kdzoo.cli.card import card


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the test's own, and nothing remembered of files."""
    forget()
    monkeypatch.setattr(card_cache, "FOLDER", tmp_path / "cards")
    yield tmp_path / "cards"
    forget()


def forget() -> None:
    card_cache._digest.cache_clear()
    card_cache._recipes.cache_clear()


def keep(kind: str, name: str) -> None:
    card_cache.keep(kind, name, card(kind, name))


@pytest.mark.parametrize(("kind", "name"), [("methods", "kd"), ("methods", "srrl"), ("transforms", "smooth")])
def test_a_kept_card_is_that_of_the_imported_plugin(kind: str, name: str) -> None:
    assert card_cache.kept(kind, name) is None
    keep(kind, name)
    assert card_cache.kept(kind, name) == json.loads(json.dumps(card(kind, name)))
    assert card_cache.kept(kind, f"kdzoo:{name}") == {**json.loads(json.dumps(card(kind, name))), "name": f"kdzoo:{name}"}


@pytest.mark.parametrize("module", ["kdzoo_features.srrl", "kdzoo.protocol.method", "kdzoo.recipe.schema", "kdzoo.cli.card"])
def test_a_card_follows_the_sources_of_its_plugin_of_its_bases_and_of_what_makes_cards(module: str, cache: Path) -> None:
    keep("methods", "srrl")
    keep("transforms", "smooth")
    (file,) = cache.iterdir()
    kept = json.loads(file.read_text())
    assert kept["sources"]["methods"]["srrl"][module]
    kept["sources"]["methods"]["srrl"][module] = "0" * 16
    file.write_text(json.dumps(kept))
    assert card_cache.kept("methods", "srrl") is None
    assert card_cache.kept("transforms", "smooth") is not None, "each card has sources of its own"


def test_a_card_follows_the_recipes(cache: Path) -> None:
    keep("methods", "kd")
    (file,) = cache.iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "recipes": "0" * 16}))
    assert card_cache.kept("methods", "kd") is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cards": 3}', b"\xff\xfe", b'{"cards": {"methods": {"kd": 1}}}'])
def test_a_damaged_file_is_no_card_and_is_written_anew(content: bytes, cache: Path) -> None:
    keep("methods", "kd")
    (file,) = cache.iterdir()
    file.write_bytes(content)
    assert card_cache.kept("methods", "kd") is None
    keep("methods", "kd")
    assert card_cache.kept("methods", "kd") is not None


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    keep("methods", "kd")
    assert card_cache.kept("methods", "kd") is None


def test_plugins_without_a_distribution_are_never_kept(cache: Path) -> None:
    registry.register("methods", "own", object)
    card_cache.keep("methods", "own", {})
    assert card_cache.kept("methods", "own") is None
    assert not cache.exists()


STRANGER = '''
"""A method of another distribution."""
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import term


class Far(Method):
    """The labels' loss from afar."""

    def __init__(self, *, strength: float = {default}) -> None:
        super().__init__()

    @term()
    def far(self, step):
        return step.supervise(step.student)
'''


def test_another_distribution_is_served_alike_and_torch_is_loaded_once_until_its_source_changes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "far_methods-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-methods\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kdzoo.methods]\nfar = far_methods:Far\n")
    show = shower(site, tmp_path / "home")

    (site / "far_methods.py").write_text(STRANGER.format(default=1.0))
    first, torch_came = show()
    assert torch_came
    second, torch_came = show()
    assert (second, torch_came) == (first, False)
    (site / "far_methods.py").write_text(STRANGER.format(default=2.0))
    third, torch_came = show()
    assert torch_came
    assert third["settings"][0]["default"] == 2.0


def shower(site: Path, home: Path) -> Callable[[], tuple[Any, bool]]:
    """What `kdzoo show method far --json` prints in a process of its own, and whether torch was loaded."""
    program = (
        "import sys; from kdzoo.cli import main; main(['show', 'method', 'far', '--json']); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(site)}

    def show() -> tuple[Any, bool]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
        return json.loads(done.stdout), done.stderr.endswith("True\n")

    return show
