"""`kdzoo compare`: two runs or two rows, how sure the difference is, and sentences for what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdzoo.cli import main


def run_folder(path: Path, value: float, *, seed: int = 0, **changes: Any) -> Path:
    """A finished run that gets `value` of 200 samples right."""
    path.mkdir(parents=True)
    values = {
        "format": 1,
        "protocol": "1",
        "identity": f"{path.parent.name}/{path.name}",
        "seed": seed,
        "metric": "top1",
        "higher_is_better": True,
        "seconds": 2.0,
        "test": {"last": {"top1": value, "nll": 0.5}},
        "teachers": {},
        "parameters": {"deployed": 10},
        "data": {"fingerprint": "digits", "sizes": {"train": 60}},
        "cost": {"training_flops": 10**9},
        "environment": {"device": "CPU", "date": "2026-01-01"},
    }
    (path / "result.json").write_text(json.dumps(values | changes))
    (path / "recipe.yaml").write_text(f"seed: {seed}\nmethods: {{kd: {{temperature: {value}}}}}\nruntime: {{out: {path}}}\n")
    np.savez_compressed(path / "predictions.npz", **{"last.score": 100.0 * (np.arange(200) < 2 * value)})
    return path


def rows(tmp_path: Path, *, ours: list[float], theirs: list[float]) -> tuple[Path, Path]:
    for name, values in (("ours", ours), ("theirs", theirs)):
        for seed, value in enumerate(values):
            run_folder(tmp_path / name / f"seed{seed}", value, seed=seed)
    return tmp_path / "ours", tmp_path / "theirs"


def test_two_runs_are_compared_over_their_test_items(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run_folder(tmp_path / "a", 90.0), run_folder(tmp_path / "b", 80.0, seed=3)
    assert main(["compare", str(a), str(b)]) == 0
    out, err = capsys.readouterr()
    table = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert table["test top1"] == ["90.00", "80.00"]
    assert table["methods.kd.temperature"] == ["90.0", "80.0"]
    assert table["training FLOPs"] == ["1 G", "1 G"]
    assert not any(path.startswith(("seed.", "runtime")) for path in table)
    assert "top1: +10.00 at 1 common seed." in err
    assert "Over seeds nothing can be said of fewer than two: train both with at least two seeds, better five." in err
    assert "Over test items, 95 %: [+" in err


def test_two_rows_are_paired_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = rows(tmp_path, ours=[90.0, 91.0, 92.0], theirs=[88.0, 90.0, 89.0, 85.0])
    assert main(["compare", str(a), str(b), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["comparison"]["seeds"]["mean"] == 2.0
    assert found["comparison"]["p"] == found["comparison"]["smallest_p"] == 0.25
    assert found["seeds"] == [[0, 1, 2], [0, 1, 2, 3]]
    assert "The seeds differ: 0, 1, 2 of ours, 0, 1, 2, 3 of theirs; only common ones are paired." in err
    assert "Finding: differs by less than " in err


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"metric": "mrr", "test": {"last": {"mrr": 0.5}}}, "a has the metric top1, .*b has mrr: they cannot be compared"),
        ({"data": {"fingerprint": "other"}}, "were tested on different data"),
        ({"format": 9}, r"its result has format 9, this kdzoo reads 1: report on it with the kdzoo that wrote it"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    changes: dict[str, Any], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    a, b = run_folder(tmp_path / "a", 90.0), run_folder(tmp_path / "b", 80.0, **changes)
    assert main(["compare", str(a), str(b)]) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = run_folder(tmp_path / "a", 90.0)
    assert main(["compare", str(a), str(tmp_path / "nothing")]) == 2
    assert "There is no file or folder " in capsys.readouterr().err


def test_two_runs_with_one_seed_in_a_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_folder(tmp_path / "row" / "one", 90.0)
    run_folder(tmp_path / "row" / "two", 90.0)
    assert main(["compare", str(tmp_path / "row"), str(tmp_path / "row")]) == 2
    assert "holds two runs with seed 0, one and two: give the folder of one run" in capsys.readouterr().err


def test_another_protocol_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = run_folder(tmp_path / "a", 90.0), run_folder(tmp_path / "b", 80.0, protocol="2")
    assert main(["compare", str(a), str(b)]) == 0
    assert "made under other versions of the plugin protocol: 1 and 2." in capsys.readouterr().err


def test_a_run_is_not_compared_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = rows(tmp_path, ours=[90.0, 91.0], theirs=[80.0, 81.0])
    for second in (ours, ours / "seed1"):
        assert main(["compare", str(ours), str(second)]) == 2
        assert "hold the same run (ours/seed" in capsys.readouterr().err
    assert main(["compare", str(ours), str(theirs)]) == 0


def test_equal_results_are_no_proof_of_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = rows(tmp_path, ours=[90.0, 91.0], theirs=[90.0, 91.0])
    assert main(["compare", str(ours), str(theirs)]) == 0
    assert "Finding: the same at every seed, which says nothing of others" in capsys.readouterr().err
