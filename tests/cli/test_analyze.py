"""`kdzoo analyze` as a user types it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kdzoo.testing.analysis import finished_tiny_run

Command = Callable[..., tuple[int, str, str]]
PLUGIN = '''\
"""Sizes of splits."""
from kdzoo import Analysis, Findings, Table, Wants
from kdzoo.protocol.figures import Bars, Figure, Panel


class Sizes(Analysis):
    """How many samples a split has.

    Args: split: which.
    """

    def __init__(self, *, split: str = "test") -> None:
        self.split = split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,))

    def analyze(self, runs):
        sizes = {run.name: len(run.student.splits[self.split].index) for run in runs}
        bars = [Bars("samples", list(sizes.values()))]
        figure = Figure("sizes", "Sizes", [Panel("Samples", "run", "samples", bars, list(sizes))])
        table = Table("Samples", ("run", "samples"), list(sizes.items()))
        return Findings(sizes, [table], [figure], ["nothing was left out"])
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sizes.py").write_text(PLUGIN)
    return Path(shutil.copytree(finished_tiny_run(), tmp_path / "run"))


def test_it_prints_tables_and_writes_json_pictures_and_a_page(kdzoo: Command, folder: Path) -> None:
    code, out, err = kdzoo("analyze", "sizes", "run", "--plugin", "sizes.py")
    assert (code, out) == (0, "sizes: Samples\ntiny-kd\t597\n")
    assert err.splitlines() == ["sizes: nothing was left out", "sizes: run/analyses/sizes/report.html"]
    target = folder / "analyses" / "sizes"
    names = {"findings.json", "report.html", "section.html", "sizes.json", "sizes.png", "sizes.svg"}
    assert {file.name for file in target.iterdir()} == names
    findings = json.loads((target / "findings.json").read_text())
    assert findings["values"] == {"tiny-kd": 597}
    assert findings["settings"] == {"split": "test"}
    assert findings["runs"] == [{"name": "tiny-kd", "identity": json.loads((folder / "result.json").read_text())["identity"]}]
    assert json.loads((target / "sizes.json").read_text())["panels"][0]["marks"][0]["heights"] == [597]
    page = (target / "report.html").read_text()
    assert "data:image/svg+xml;base64," in page
    assert "nothing was left out" in page


def test_settings_labels_and_another_place(kdzoo: Command, folder: Path) -> None:
    words = ("analyze", "sizes", "run", "split=train", "--labels", "mine", "--out", "there", "--plugin", "sizes.py", "--json")
    code, out, _ = kdzoo(*words)
    assert (code, json.loads(out)) == (0, {"sizes": {"mine": 44}})
    assert (folder.parent / "there" / "sizes" / "findings.json").is_file()
    assert not (folder / "analyses").exists()


def test_several_runs_get_a_place_of_their_own(kdzoo: Command, folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "other")
    code, out, err = kdzoo("analyze", "sizes", "run", "other", "--plugin", "sizes.py")
    assert (code, out) == (0, "sizes: Samples\ntiny-kd (run)\t597\ntiny-kd (other)\t597\n")
    (page,) = folder.parent.glob("analyses/sizes-*/report.html")
    assert err.splitlines()[-1] == f"sizes: {page.relative_to(folder.parent)}"


def test_without_a_run_it_says_what_it_takes(kdzoo: Command, folder: Path) -> None:
    code, _, err = kdzoo("analyze", "sizes", "--plugin", "sizes.py")
    assert code == 2
    assert err.startswith("error: kdzoo analyze takes the folder of a finished run after the names of analyses (")


def test_an_analysis_is_listed_and_shown(kdzoo: Command, folder: Path) -> None:
    assert "sizes\tHow many samples a split has" in kdzoo("list", "analyses", "--plugin", "sizes.py")[1]
    code, out, _ = kdzoo("show", "analysis", "sizes", "--plugin", "sizes.py")
    assert code == 0
    assert out.startswith("sizes, one of the analyses, from sizes.py ")
    assert 'splits  ["test"]' in out


def test_nothing_is_left_where_it_cannot_be_written(kdzoo: Command, folder: Path) -> None:
    (folder.parent / "file").write_text("")
    code, _, err = kdzoo("analyze", "sizes", "run", "--out", "file", "--plugin", "sizes.py")
    assert code == 2
    assert "is a file, not a folder" in err
