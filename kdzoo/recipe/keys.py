"""What YAML 1.1 reads otherwise than it is written: `on` as a key is a boolean, `010` is 8, and `12:30` is 750.

Keys of a recipe are text, so those are quoted; a number that is not the one written is refused, as is a key that is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

BOOLEAN, NULL, TIME = (f"tag:yaml.org,2002:{name}" for name in ("bool", "null", "timestamp"))
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
FOREIGN = ("tag:yaml.org,2002:set", "tag:yaml.org,2002:omap", "tag:yaml.org,2002:pairs")
OTHERWISE = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_.]*(:[0-9_.]+)+)")
"""Numbers to the base of 8, those of hours and minutes, and identifiers such as `0_3`."""


class Otherwise(yaml.MarkedYAMLError):  # type: ignore[misc]
    """A value that YAML reads as something else than is written, with its place."""


def keys_quoted(text: str) -> str:
    """The same YAML, with quotes around such keys. What is no YAML stays as it is: whoever reads it says what is wrong.

    Raises Otherwise: a value that is read as another number, or as what no recipe holds.

    >>> keys_quoted("{use: layer_matching, on: hidden}")
    '{use: layer_matching, "on": hidden}'
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return text
    places: set[tuple[int, int]] = set()
    for node, is_key in _nodes(root, set(), is_key=False):
        _check(node, is_key=is_key, tagged=text[node.start_mark.index : node.start_mark.index + 1] == "!")
        if is_key and node.tag == BOOLEAN:
            places.add((node.start_mark.index, node.end_mark.index))
    for start, end in sorted(places, reverse=True):
        text = f'{text[:start]}"{text[start:end]}"{text[end:]}'
    return text


def _check(node: yaml.Node, *, is_key: bool, tagged: bool) -> None:
    problem = ""
    if node.tag in FOREIGN or (node.tag == TIME and tagged):
        problem = f"a recipe holds no {node.tag.rpartition(':')[2]}; write a text, a number, a list or a mapping"
    elif is_key and node.tag == NULL:
        problem = "a key is empty; write the name of a setting, or quotes around a text"
    elif node.tag in NUMBERS and OTHERWISE.fullmatch(node.value):
        read = yaml.safe_load(node.value)
        problem = f"{node.value} is read as the number {read}; write that number, or quotes around a text"
    if problem:
        raise Otherwise(problem=problem, problem_mark=node.start_mark)


def _nodes(node: yaml.Node | None, seen: set[int], *, is_key: bool) -> Iterator[tuple[yaml.Node, bool]]:
    """Every node, and whether it is a key; an anchored one is looked at once."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    yield node, is_key
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key, seen, is_key=True)
            yield from _nodes(value, seen, is_key=False)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _nodes(item, seen, is_key=False)
