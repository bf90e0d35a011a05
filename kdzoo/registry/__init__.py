"""Which plugins there are, who brings them, and how to get one.

Kinds of plugins are groups of entry points (`kdzoo.methods`, `kdzoo.transforms`, ...), the built-in ones included. Finding them
reads metadata and imports nothing; `get` imports on demand, and a plugin that cannot be imported harms nobody else.
"""

from kdzoo.registry.entries import KINDS, PROTOCOL, Entry, is_local
from kdzoo.registry.local import load_file, loaded_files, register
from kdzoo.registry.lookup import broken, discover, entry, families, get, refresh, spelled

__all__ = [
    "KINDS",
    "PROTOCOL",
    "Entry",
    "broken",
    "discover",
    "entry",
    "families",
    "get",
    "is_local",
    "load_file",
    "loaded_files",
    "refresh",
    "register",
    "spelled",
]
