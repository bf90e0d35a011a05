"""Keys of a recipe are text. YAML 1.1 takes some for booleans (`on`, `off`, `yes`, `no`), and then the setting is lost."""

from __future__ import annotations

import yaml

BOOLEAN = "tag:yaml.org,2002:bool"


def keys_quoted(text: str) -> str:
    """The same YAML, with quotes around such keys. What is no YAML stays as it is: whoever reads it says what is wrong.

    >>> keys_quoted("{use: layer_matching, on: hidden}")
    '{use: layer_matching, "on": hidden}'
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return text
    for start, end in sorted(_places(root, set()), reverse=True):
        text = f'{text[:start]}"{text[start:end]}"{text[end:]}'
    return text


def _places(node: yaml.Node | None, seen: set[int]) -> set[tuple[int, int]]:
    """Where plain keys stand that are read as booleans; an anchored node is looked at once."""
    if node is None or id(node) in seen:
        return set()
    seen.add(id(node))
    found: set[tuple[int, int]] = set()
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == BOOLEAN:
                found.add((key.start_mark.index, key.end_mark.index))
            found |= _places(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found |= _places(item, seen)
    return found
