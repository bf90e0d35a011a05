"""A run folder says how the run was made, and the run can be made again from it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.engine.launch import launch
from kdzoo.engine.provenance import Made, packages
from kdzoo.recipe.load import load
from kdzoo.registry.entries import LOCAL
from kdzoo.testing.laws.helpers import Killed, Killer

QUIET = """\
from kdzoo import Method, Step, term


class Quiet(Method):
    @term()
    def quiet(self, step: Step):
        return step.student.rows.logits.square().mean()
"""
OWN = """\
extends: tiny.yaml
teacher: {use: frozen, recipe: tiny.yaml}
methods: {kd: {}, quiet: {weights: {quiet: 0.1}}}
"""


def values(out: Any) -> Any:
    return dict(line.split("\t") for line in out.splitlines())


@pytest.fixture
def finished(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> Path:
    """A run with a plugin file and a teacher of its own; what it was told to use is gone afterwards."""
    (tmp_path / "mine.py").write_text(QUIET)
    (tmp_path / "own.yaml").write_text(OWN)
    code, out, _ = kdzoo("run", "own.yaml", "--plugin", "mine.py")
    assert code == 0
    as_a_new_process()
    return Path(values(out)["run folder"])


def as_a_new_process() -> None:
    """No plugin file is loaded any more."""
    for name in [name for name in sys.modules if name.startswith("kdzoo_file_")]:
        del sys.modules[name]
    registry.refresh()
    LOCAL.clear()


def test_the_record_names_all_that_the_run_was_made_of(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = json.loads((finished / "run.json").read_text())
    (session,) = made["sessions"]
    assert session["directory"] == str(tmp_path)
    assert session["packages"]["numpy"] == packages()["numpy"]
    assert len(session["packages"]) > 20
    assert session["processes"] == 1
    assert (finished / "plugins" / "mine.py").read_text() == QUIET
    teacher = made["teachers"]["teacher"]
    assert (finished / teacher["folder"] / "result.json").is_file()
    assert all((finished / file).is_file() for file in teacher["files"])
    assert {file.rpartition("/")[2] for file in teacher["files"]} == {"student.safetensors", "best.safetensors"}


def test_every_record_of_the_log_has_its_time(finished: Path) -> None:
    times = [json.loads(line)["time"] for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert times == sorted(times)
    assert all(time.endswith("+00:00") for time in times)


def test_a_finished_run_is_made_again_from_its_folder_alone(kdzoo: Callable[..., Any], finished: Path, tmp_path: Path) -> None:
    for file in ("mine.py", "own.yaml", "tiny.yaml"):
        (tmp_path / file).unlink()
    code, out, err = kdzoo("run", finished)
    assert code == 0, err
    assert values(out)["run folder"] == str(finished / "again")
    assert err.splitlines()[-1] == "exactly what the run said."
    again = json.loads((finished / "again" / "result.json").read_text())
    assert again["identity"] == json.loads((finished / "result.json").read_text())["identity"]
    for name in ("student.safetensors", "best.safetensors"):
        assert (finished / "again" / name).read_bytes() == (finished / name).read_bytes()


def test_a_plugin_file_that_has_changed_since_it_was_loaded_is_not_kept_for_what_ran(
    kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(QUIET)
    registry.load_file("mine.py")
    (tmp_path / "mine.py").unlink()
    code, out, err = kdzoo("run", tiny, "methods.quiet.weights.quiet=0.1")
    assert code == 0, err
    assert json.loads((Path(values(out)["run folder"]) / "run.json").read_text())["plugins"] == {}


def test_force_trains_in_the_folder_itself_with_the_kept_plugins(
    kdzoo: Callable[..., Any], finished: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").unlink()
    code, out, err = kdzoo("run", finished, "--force")
    assert (code, values(out)["run folder"]) == (0, str(finished)), err
    assert (finished / "plugins" / "mine.py").read_text() == QUIET


def test_overrides_make_another_run_of_it(kdzoo: Callable[..., Any], finished: Path) -> None:
    code, out, _ = kdzoo("run", finished, "seed=3")
    assert code == 0
    assert not Path(values(out)["run folder"]).is_relative_to(finished)


def test_an_unfinished_run_goes_on_from_its_folder(kdzoo: Callable[..., Any], tiny: Any) -> None:
    with pytest.raises(Killed):
        launch(load(tiny), folder=Path("mine"), listeners=[Killer(3)])
    code, out, err = kdzoo("run", "mine")
    assert (code, values(out)["run folder"]) == (0, "mine")
    assert "Going on from the last checkpoint in mine." in err
    assert len(json.loads(Path("mine/run.json").read_text())["sessions"]) == 2


def test_a_folder_without_a_run_is_a_sentence(kdzoo: Callable[..., Any]) -> None:
    Path("empty").mkdir()
    code, _, err = kdzoo("run", "empty")
    assert code == 2
    assert "empty" in err


CHANGES = {
    "packages": lambda made: made["sessions"][-1]["packages"].update(numpy="0.0"),
    "machine": lambda made: made["sessions"][-1]["environment"].update(device="another"),
    "processes": lambda made: made["sessions"][-1].update(processes=2),
    "data": lambda made: made.update(data="other"),
    "plugins": lambda made: made["plugins"].update({"mine.py": "0"}),
    "teachers": lambda made: made["teachers"]["teacher"]["files"].update({"../gone.safetensors": "0"}),
}
SAID = {
    "packages": "numpy {numpy} instead of 0.0",
    "machine": "instead of another",
    "processes": "1 process(es) instead of 2",
    "data": "the data are others",
    "plugins": "is another than",
    "teachers": "is gone",
}


def test_eval_says_nothing_where_nothing_has_changed(kdzoo: Callable[..., Any], finished: Path) -> None:
    assert kdzoo("eval", finished)[2] == "exactly what the run said.\n"


@pytest.mark.parametrize("what", CHANGES)
def test_eval_says_what_has_changed(kdzoo: Callable[..., Any], finished: Path, what: str) -> None:
    made = json.loads((finished / "run.json").read_text())
    CHANGES[what](made)
    (finished / "run.json").write_text(json.dumps(made))
    line = kdzoo("eval", finished)[2].splitlines()[-1]
    assert line.startswith("Since the run: ")
    assert SAID[what].format(**packages()) in line
    assert ";" not in line, "nothing else has changed"


def test_a_run_of_python_objects_names_its_script(kdzoo: Callable[..., Any], tiny: Any) -> None:
    from torch import nn

    import kdzoo as library

    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    folder = library.run(tiny, student=net, progress=False).folder
    assert Made.read(folder).values["objects"] == ["student"]
    code, _, err = kdzoo("run", folder)
    assert code == 2
    assert "objects that no file holds (student)" in err


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_modes_follow_the_umask(kdzoo: Callable[..., Any], tiny: Any, mask: int) -> None:
    before = os.umask(mask)
    try:
        folder = Path(values(kdzoo("run", tiny)[1])["run folder"])
    finally:
        os.umask(before)
    for place in folder.rglob("*"):
        assert place.stat().st_mode & 0o777 == (0o777 if place.is_dir() else 0o666) & ~mask, place


WHOLE = {"format": 2, "data": "x", "objects": [], "plugins": {}, "teachers": {}, "sessions": []}
DAMAGED = [
    "",
    "[]",
    "{",
    "3",
    *(
        json.dumps({**WHOLE, **part})
        for part in (
            {"sessions": 3},
            {"sessions": [3]},
            {"sessions": [{}]},
            {"plugins": ["gone.py"]},
            {"plugins": {"gone.py": "0"}},
            {"teachers": 3},
            {"teachers": {"a": 3}},
            {"teachers": {"a": {}}},
            {"objects": 4},
            {"data": None},
        )
    ),
]


@pytest.mark.parametrize("words", [("eval",), ("clean",)], ids=" ".join)
def test_a_damaged_record_says_nothing_and_ends_nothing(kdzoo: Callable[..., Any], tiny: Any, words: tuple[str]) -> None:
    folder = Path(values(kdzoo("run", tiny, "train.epochs=1")[1])["run folder"])
    for text in DAMAGED:
        (folder / "run.json").write_text(text)
        code, _, err = kdzoo(*words, folder)
        assert code == 0, (text, err)
        assert "should not happen" not in err
