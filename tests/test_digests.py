"""Digests are SHA-256, whichever way the bytes come."""

from __future__ import annotations

from pathlib import Path

from kdzoo import digests

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc", from FIPS 180-2


def test_a_text_bytes_pieces_and_a_file_of_one_content_have_one_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_text("abc")
    assert digests.of_text("abc") == ABC
    assert digests.of_bytes(b"ab", memoryview(b"c")) == ABC
    assert digests.of_stream(iter([b"a", b"", b"bc"])) == ABC
    assert digests.of_file(tmp_path / "abc") == ABC
