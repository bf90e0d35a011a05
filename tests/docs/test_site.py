"""The documentation site: its navigation, its links, and that a broken one ends the build."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def loaded(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = loaded("site")


def settings() -> Any:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def test_pages_that_a_branch_lacks_are_left_out_and_unnamed_ones_come_last() -> None:
    nav = [{"Home": "index.md"}, {"How to": ["a.md", "b.md"]}, {"Gone": ["c.md"]}]
    found = site.navigation(nav, ["b.md", "index.md", "new/d.md"])
    assert found == [{"Home": "index.md"}, {"How to": ["b.md"]}, {"More": ["new/d.md"]}]
    assert site.navigation(nav, ["a.md", "b.md", "c.md", "index.md"]) == nav


def test_every_page_has_a_place_of_its_own() -> None:
    there = [*(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")), *site.FROM_THE_TOP]
    named = list(site._pages(site.navigation(settings()["nav"], there)))
    assert sorted(named) == sorted(there)
    assert len(set(named)) == len(named)


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("[`loop`](../kdzoo/engine/loop.py)", "`loop`"),
        ("[loop](loop.md#terms)", "[loop](loop.md#terms)"),
        ("[news](../CHANGELOG.md)", "[news](changelog.md)"),
        ("[far](https://example.org/x)", "[far](https://example.org/x)"),
        ("```\n[x](../kdzoo/absent.py)\n```", "```\n[x](../kdzoo/absent.py)\n```"),
    ],
)
def test_links_that_leave_the_pages_become_text(markdown: str, expected: str) -> None:
    assert site.with_links(markdown, "page.md", DOCS / "page.md", DOCS) == expected


def test_links_into_the_source_lead_to_the_repository_where_it_is_known() -> None:
    found = site.with_links("[`x`](../kdzoo/api.py)", "page.md", DOCS / "page.md", DOCS, "https://example.org/kdzoo/")
    assert found == "[`x`](https://example.org/kdzoo/blob/main/kdzoo/api.py)"


def test_pages_from_the_top_link_to_pages() -> None:
    found = site.with_links("[a](docs/loop.md#x) [b](LICENSE)", "contributing.md", ROOT / "CONTRIBUTING.md", DOCS)
    assert found == "[a](loop.md#x) b"


@pytest.mark.parametrize("target", ["../kdzoo/absent.py", "../../outside.md"])
def test_a_link_that_leads_nowhere_is_a_warning(caplog: pytest.LogCaptureFixture, target: str) -> None:
    with caplog.at_level(logging.WARNING, logger="mkdocs.plugins.site"):
        site.with_links(f"[x]({target})", "page.md", DOCS / "page.md", DOCS)
    assert f"page.md links to {target}" in caplog.text


def test_the_reference_names_what_is_there() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for line in page.read_text("utf-8").splitlines():
            if line.startswith("::: "):
                assert _is_there(line.removeprefix("::: ")), f"{page.name}: {line}"


def _is_there(name: str) -> Any:
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ModuleNotFoundError:
        pass
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module), attribute)


MKDOCS = all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings"))


@pytest.mark.skipif(not MKDOCS, reason="needs the extra docs")
def test_doctests_are_code_blocks() -> None:
    fenced = loaded("doctests").fenced
    assert fenced("About.\n\n    >>> f(1)\n    [0.0, 0.0]\n\nMore.") == (
        "About.\n\n    ```pycon\n    >>> f(1)\n    [0.0, 0.0]\n    ```\n\nMore."
    )


@pytest.mark.slow
@pytest.mark.skipif(not MKDOCS, reason="needs the extra docs; .ci/run builds the site with it")
@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("", None),
        ("[x](absent.md)", "absent.md"),
        ("[x](loop.md#no-such-heading)", "no-such-heading"),
        ("[x](../kdzoo/absent.py)", "kdzoo/absent.py"),
    ],
)
def test_a_broken_link_ends_the_build(tmp_path: Path, added: str, said: str | None) -> None:
    """On the pages without the reference, which takes a minute."""
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("reference"))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("kdzoo", "plugins", "recipes", "tests", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    own = settings()
    own["plugins"] = ["search"]
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(own))
    pages = tmp_path / "docs"
    for page in pages.glob("*.md"):  # what leads into the reference is not looked at here
        page.write_text(page.read_text("utf-8").replace("](reference/", "](https://example.org/"))
    (pages / "new.md").write_text(f"# New\n\n{added}\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert (done.returncode == 0) is (said is None), done.stderr
    assert said is None or said in done.stdout + done.stderr
