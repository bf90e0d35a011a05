"""Trackers: a real offline wandb run, TensorBoard's events, and a tracker that fails."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.engine.launch import launch
from kdzoo.engine.tracking import Called
from kdzoo.testing import tiny_recipe
from kdzoo.testing.laws.helpers import Killed, Killer

pytestmark = pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")


def tracked(tmp_path: Path, *trackers: Any) -> Path:
    runtime = {"device": "cpu", "out": str(tmp_path), "log_every": 1, "trackers": list(trackers)}
    return launch(tiny_recipe("kd", recipe={"runtime": runtime})).folder


def test_every_loss_is_in_the_runs_own_log(tmp_path: Path) -> None:
    records = [json.loads(line) for line in (tracked(tmp_path) / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if record["event"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 9))
    for record in steps:
        assert record["loss"] == pytest.approx(sum(record["terms"].values()), rel=1e-5)


def test_wandb_leaves_a_readable_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    wandb, proto = pytest.importorskip("wandb"), pytest.importorskip("wandb.proto.wandb_internal_pb2")
    folder = tracked(tmp_path, {"use": "wandb"})
    wandb.teardown()  # wandb's own process writes the file, and `finish` does not wait for it
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    names = set()
    for data in log_records(file.read_bytes()):
        record = proto.Record()
        record.ParseFromString(data)
        names |= {item.key or "/".join(item.nested_key) for item in record.history.item}
    assert {"loss", "terms/kd.kd", "validation/top1"} <= names


def log_records(content: bytes) -> Iterator[bytes]:
    """The records of a wandb run file: LevelDB's log format behind a header of seven bytes."""
    block, header, position, parts = 32768, struct.Struct("<IHB"), 7, []
    while position + header.size <= len(content):
        left = block - position % block
        if left < header.size:
            position += left
            continue
        _, length, kind = header.unpack_from(content, position)
        parts.append(content[position + header.size : position + header.size + length])
        position += header.size + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield b"".join(parts)
            parts = []


def test_tensorboard_writes_its_events(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tracked(tmp_path, {"use": "tensorboard"})
    events = accumulator.EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))


def test_a_failing_tracker_is_reported_once_and_stops_nothing(tmp_path: Path) -> None:
    class Failing:
        kdzoo_kind = "trackers"

        def start(self, *, name: str, group: str, folder: Path, settings: Mapping[str, Any]) -> None:
            pass

        def log(self, values: Mapping[str, float], *, step: int, line: int) -> None:
            raise ConnectionError("the server is gone")

        def finish(self, summary: Mapping[str, Any]) -> None:
            raise AssertionError("a tracker that failed is left alone")

    registry.register("trackers", "failing", Failing)
    with pytest.warns(UserWarning, match="tracker 'failing' failed and is left out from now on: the server is gone") as seen:
        folder = tracked(tmp_path, {"use": "failing"})
    assert sum("failing" in str(warning.message) for warning in seen) == 1
    assert (folder / "result.json").exists()


class Remembering:
    """A tracker that keeps what it is told."""

    told: list[Mapping[str, Any]] = []  # noqa: RUF012

    def start(self, *, name: str, group: str, folder: Path, settings: Mapping[str, Any]) -> None:
        self.told.clear()

    def log(self, values: Mapping[str, float], *, step: int, line: int) -> None: ...

    def finish(self, summary: Mapping[str, Any]) -> None:
        self.told.append(dict(summary))


def test_a_tracker_is_finished_with_the_test_metrics(tmp_path: Path) -> None:
    registry.register("trackers", "remembering", Remembering)
    result = json.loads((tracked(tmp_path, "remembering") / "result.json").read_text())
    (summary,) = Remembering.told
    assert summary["test/last/top1"] == result["test"]["last"]["top1"]


def test_wandb_sees_one_run_across_resumes_with_its_group_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    given: list[dict[str, Any]] = []
    logged: list[int] = []

    class Session:
        summary: dict[str, Any] = {}  # noqa: RUF012

        def log(self, values: Mapping[str, float], *, step: int) -> None:
            logged.append(step)

        def finish(self) -> None: ...

    def init(**settings: Any) -> Session:
        given.append(settings)
        return Session()

    monkeypatch.setattr(wandb, "init", init)
    runtime = {"device": "cpu", "out": str(tmp_path), "log_every": 1, "trackers": [{"use": "wandb"}]}
    recipe = tiny_recipe("kd", recipe={"runtime": runtime})
    called = Called("kd, seed 0", "quickstart")
    with pytest.raises(Killed):
        launch(recipe, listeners=[Killer(6)], called=called)
    launch(recipe, called=called)
    first, second = ({key: each[key] for key in ("id", "name", "group", "resume")} for each in given)
    assert first == second
    assert (first["name"], first["group"], first["resume"]) == ("kd, seed 0", "quickstart", "allow")
    resumed = logged.index(min(logged[5:]), 5)
    assert logged[:resumed] == list(range(1, resumed + 1)), "a record's step is its line in the log"
    assert logged[resumed:] == list(range(logged[resumed], logged[-1] + 1)), "which a resumed run takes up again"
    assert 1 < logged[resumed] <= resumed + 1
    launch(recipe, force=True)
    assert given[2]["id"] != first["id"], "a run that is trained anew is another"
