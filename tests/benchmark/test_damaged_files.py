"""Files of a bench that are cut, or hold something else: the report leaves them out, or says which folder is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdzoo.benchmark.report.page import write_report
from kdzoo.benchmark.report.records import read_records
from kdzoo.benchmark.report.samples import predictions, read_samples
from kdzoo.errors import RecipeError

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half of it": lambda content: content[: len(content) // 2],
    "its last byte gone": lambda content: content[:-1],
    "a list": lambda content: b"[]\n",
    "null": lambda content: b"null\n",
    "an empty mapping": lambda content: b"{}\n",
    "nested too deep": lambda content: b"[" * 20_000,
    "a number": lambda content: b"3\n",
    "no text": lambda content: b"\xff\xfe\x00\n" * 3,
    "its middle overwritten": lambda content: content[: len(content) // 3] + b"\x00" * 40 + content[len(content) // 2 :],
}


@pytest.fixture
def bench(made: Callable[..., Path]) -> Path:
    """Two finished rows with their predictions, and the kept images."""
    folder = made({"alone": {0: 90.0}, "kd": {0: 91.0}})
    rng = np.random.default_rng(0)
    for row in ("alone", "kd"):
        arrays = {"last.logits": rng.normal(size=(20, 3)), "last.target": np.arange(20) % 3}
        np.savez_compressed(folder / "cells" / row / "seed0" / "predictions.npz", **arrays)
    images, names = np.zeros((2, 1, 4, 4), np.uint8), np.array(["a", "b", "c"])
    np.savez_compressed(folder / "samples.npz", images=images, index=np.array([0, 1]), names=names)
    return folder


FILES = (
    "plan.json",
    "samples.npz",
    *(f"cells/kd/seed0/{name}" for name in ("result.json", "metrics.jsonl", "predictions.npz")),
)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_the_report_of_a_damaged_folder(name: str, damage: str, bench: Path) -> None:
    file = bench / name
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    sentence, labels = "", ["alone"]
    try:
        labels = [row.label for row in write_report(bench).rows if row.label == "alone"]
    except RecipeError as error:
        sentence = str(error)
    assert labels == ["alone"]
    assert not sentence or (str(bench) in sentence and name.endswith(".json"))


def test_whole_files_are_read(bench: Path) -> None:
    records = read_records(bench)
    found = predictions(records)
    assert found is not None
    assert list(found.logits) == ["alone", "kd"]
    assert read_samples(records, found) is not None
