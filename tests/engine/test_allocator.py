"""Freed memory stays with a process that trains, as glibc's own account of its heap says."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from kdzoo.engine.allocator import SETTINGS

BLOCK = 30 * 2**20
ACCOUNT = f"""
import ctypes, sys
from kdzoo.engine.allocator import give_back_freed_memory, keep_freed_memory

names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
Account = type("Account", (ctypes.Structure,), {{"_fields_": [(name, ctypes.c_size_t) for name in names]}})
glibc = ctypes.CDLL(None)
glibc.mallinfo2.restype, glibc.malloc.restype, glibc.free.argtypes = Account, ctypes.c_void_p, [ctypes.c_void_p]

kept = sys.argv[1] == "keep" and keep_freed_memory()
glibc.free(glibc.malloc({BLOCK}))  # from now on glibc takes such blocks from its heap, too
blocks = [glibc.malloc({BLOCK}) for _ in range(4)]
for block in blocks:
    glibc.free(block)
heap = glibc.mallinfo2().arena
give_back_freed_memory()
print(kept, heap, glibc.mallinfo2().arena)
"""

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33")


def account(*words: str, **settings: str) -> tuple[bool, int, int]:
    """Whether freed memory is said to be kept, and the bytes of the heap: after all was freed, and once it was given back."""
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS} | settings
    ended = subprocess.run([sys.executable, "-c", ACCOUNT, *words], env=environment, capture_output=True, text=True, check=True)
    kept, heap, rest = ended.stdout.split()
    return kept == "True", int(heap), int(rest)


def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    left, heap, _ = account("leave")
    assert (left, heap < BLOCK) == (False, True), "by default it goes back to the system at once"
    kept, heap, rest = account("keep")
    assert (kept, heap > 4 * BLOCK, rest < BLOCK) == (True, True, True)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_users_own_setting_holds(name: str) -> None:
    kept, *_ = account("keep", **{name: "glibc.malloc.check=0" if name == "GLIBC_TUNABLES" else "131072"})
    assert not kept
