"""Cards made beforehand: equal to those of the imported methods, only while nothing changed, and without torch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.cli import card_index
from kdzoo.cli.card import card

OWN = [(kind, name) for kind in card_index.KINDS for name, e in registry.discover(kind).items() if e.distribution == "kdzoo"]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    card_index._index.cache_clear()
    card_index._recipes.cache_clear()
    yield
    card_index._index.cache_clear()
    card_index._recipes.cache_clear()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of two methods, written as docs/generate.py writes all."""
    plain = {
        kind: {n: e for n, e in registry.discover(kind).items() if n in ("kd", "srrl", "smooth")} for kind in card_index.KINDS
    }
    with monkeypatch.context() as only:
        only.setattr(card_index.registry, "discover", lambda kind: plain.get(kind, {}))
        text = card_index.text()
    monkeypatch.setattr(card_index, "INDEX", tmp_path / "index.json")
    (tmp_path / "index.json").write_text(text)
    return tmp_path / "index.json"


@pytest.mark.parametrize(("kind", "name"), [("methods", "kd"), ("methods", "srrl"), ("transforms", "smooth")])
def test_a_card_from_the_index_is_that_of_the_imported_method(made: Any, kind: str, name: str) -> None:
    assert card_index.found(kind, name) == json.loads(json.dumps(card(kind, name)))


@pytest.mark.parametrize("changed", ["sources", "recipes"])
def test_a_card_counts_only_while_nothing_changed(made: Any, changed: str) -> None:
    index = json.loads(made.read_text())
    if changed == "sources":
        index["methods"]["kd"]["sources"] = dict.fromkeys(index["methods"]["kd"]["sources"], "0" * 16)
    else:
        index["recipes"] = "0" * 16
    made.write_text(json.dumps(index))
    assert card_index.found("methods", "kd") is None


def test_the_index_follows_the_files_of_base_classes(made: Any) -> None:
    sources = json.loads(made.read_text())["methods"]["srrl"]["sources"]
    assert {"kdzoo_features.srrl", "kdzoo.protocol.method"} <= set(sources)


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_without_a_readable_index_methods_are_imported(made: Any, content: str) -> None:
    made.write_text(content)
    assert card_index.found("methods", "kd") is None


def test_strangers_are_not_in_it(made: Any) -> None:
    registry.register("methods", "own", object)
    assert card_index.found("methods", "own") is None


def test_the_index_that_is_shipped_has_every_method_and_shows_it_without_torch() -> None:
    shipped = json.loads(card_index.INDEX.read_text())
    assert {(kind, name) for kind in card_index.KINDS for name in shipped[kind]} == set(OWN)
    program = "import sys; from kdzoo.cli import main; main(['show', 'method', 'kd']); sys.exit('torch' in sys.modules)"
    if card_index.found("methods", "kd") is not None:  # else docs/generate.py --check fails, which .ci/run looks at
        assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
