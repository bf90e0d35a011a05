"""SHA-256 of files and of what can be shown as text or bytes; results carry these, so their form must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

SHORT = 16
"""Hexadecimal digits of an identity."""


def of_bytes(*parts: bytes | memoryview) -> str:
    """The digest of bytes, one after the other, in hexadecimal."""
    return of_stream(parts)


def of_stream(parts: Iterable[bytes | memoryview]) -> str:
    """As `of_bytes`, of bytes that are made one by one."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def of_text(text: str) -> str:
    """The digest of a text in UTF-8."""
    return of_bytes(text.encode())


def of_folder(path: Path) -> str:
    """The digest of all files below a folder, by their relative names and contents, in the order of the names."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return of_text("\n".join(f"{file.relative_to(path).as_posix()} {of_file(file)}" for file in files))


def of_file(path: Path) -> str:
    """The digest of a file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
