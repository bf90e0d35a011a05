"""Doctests in docstrings as code blocks of the site: a griffe extension, named in mkdocs.yml."""

from __future__ import annotations

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^(?P<indent>[ ]*)>>>.*(?:\n(?P=indent)\S.*)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences every doctest; Markdown would read its prompt as quotations and its lists as links."""

    def on_instance(self, *, obj: Any, **kwargs: Any) -> None:
        """Called with each object that griffe has read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """A docstring whose doctests are fenced."""

    def fence(found: re.Match[str]) -> str:
        indent = found["indent"]
        return f"{indent}```pycon\n{found[0]}\n{indent}```"

    return DOCTEST.sub(fence, text)
