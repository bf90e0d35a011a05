"""What MkDocs does not do itself for this site: a navigation of the pages that are there, and links that leave `docs/`.

Pages are Markdown that reads as well in the repository, where they link to source files. The site has no source files, so such
a link becomes a link to the repository if `repo_url` says where it is, and else its text; one that leads nowhere is a warning,
which ends a strict build.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.plugins.site")
ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[(?P<text>[^\]\n]*(?:\n[^\]\n]*)?)\]\((?P<path>(?!\w+:|#)[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
FROM_THE_TOP = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages of the site that are files at the top of the repository."""
MORE = "More"


def on_config(config: Any) -> Any:
    """Leave pages out of the navigation that are not there, and add those that it does not name."""
    docs = Path(config["docs_dir"])
    there = sorted([*(path.relative_to(docs).as_posix() for path in docs.rglob("*.md")), *FROM_THE_TOP])
    config["nav"] = navigation(config["nav"], there)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that stand at the top of the repository."""
    from mkdocs.structure.files import File

    for page, name in FROM_THE_TOP.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Links that leave `docs/`."""
    name: str = page.file.src_uri
    place = ROOT / FROM_THE_TOP[name] if name in FROM_THE_TOP else Path(config["docs_dir"], name)
    return with_links(markdown, name, place, Path(config["docs_dir"]), config.get("repo_url"))


def navigation(nav: list[Any], there: list[str]) -> list[Any]:
    """The navigation of the pages `there`; those that it lacks come last."""
    kept = list(_kept(nav, set(there)))
    named = set(_pages(kept))
    more = [page for page in there if page not in named]
    return [*kept, {MORE: more}] if more else kept


def with_links(markdown: str, page: str, place: Path, docs: Path, repository: str | None = None) -> str:
    """A page's Markdown with the links that leave `docs/` changed; code blocks stay.

    Args: page: what the site calls it; place: its file.
    """
    parts = FENCE.split(markdown)
    parts[::2] = [LINK.sub(lambda found: _link(found, page, place, docs, repository), part) for part in parts[::2]]
    return "".join(parts)


def _link(found: re.Match[str], page: str, place: Path, docs: Path, repository: str | None) -> str:
    target = Path(os.path.normpath(place.parent / found["path"]))
    if not target.exists():
        log.warning("%s links to %s, which is not there.", page, found["path"])
        return found[0]
    if not target.is_relative_to(ROOT):
        log.warning("%s links to %s, which is outside the repository.", page, found["path"])
        return found[0]
    inside = target.relative_to(ROOT).as_posix()
    own = {name: of for of, name in FROM_THE_TOP.items()}.get(inside)
    if own is None and target.is_relative_to(docs):
        own = target.relative_to(docs).as_posix()
    if own is not None:
        return f"[{found['text']}]({'../' * page.count('/')}{own}{found['anchor'] or ''})"
    return f"[{found['text']}]({repository.rstrip('/')}/blob/main/{inside})" if repository else found["text"]


def _kept(nav: list[Any], there: set[str]) -> Iterator[Any]:
    for item in nav:
        if isinstance(item, str):
            if item in there:
                yield item
            continue
        ((title, inside),) = item.items()
        if isinstance(inside, list):
            if pages := list(_kept(inside, there)):
                yield {title: pages}
        elif inside in there:
            yield item


def _pages(nav: list[Any]) -> Iterator[str]:
    for item in nav:
        inside = item if isinstance(item, str) else next(iter(item.values()))
        yield from _pages(inside) if isinstance(inside, list) else [inside]
