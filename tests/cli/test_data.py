import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.data.status import status


def test_each_data_set_has_a_line(kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    code, out, _ = kdzoo("data")
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert code == 0
    assert rows["digits"][0] == "found"
    assert rows["cifar10"][0] == "missing"
    assert "curl " in rows["cifar10"][3]
    assert rows["image_folder"][0] == "you name the folder"


def test_a_folder_is_looked_in_first(kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "mine" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ["batches.meta", "test_batch", *(f"data_batch_{n}" for n in range(1, 6))]:
        (folder / name).write_bytes(b"1234")
    sets = {row["name"]: row for row in json.loads(kdzoo("data", "--root", "mine", "--json")[1])}
    assert sets["cifar10"]["found"] is True
    assert sets["cifar10"]["where"] == "mine/cifar-10-batches-py"


def test_json_is_the_status(kdzoo: Callable[..., Any]) -> None:
    assert json.loads(kdzoo("data", "--json")[1]) == status()
