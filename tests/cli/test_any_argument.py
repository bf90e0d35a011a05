"""Whatever stands in the place of an argument: a sentence and a code of its own, or the command does what it says."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = """\
task: {use: image_classification, data: digits, train_size: 200}
student: {use: mlp, hidden: [8]}
methods: {hard_label: {}}
train: {epochs: 1}
bench: {seeds: [0, 1], methods: {smooth: {methods: {hard_label: {targets: [smooth]}}}}}
"""
WORDS = (
    "",
    " ",
    "nosuch",
    "..",
    "~",
    "-1",
    "0",
    "nan",
    "=",
    "a=b=c",
    "name=",
    "a" * 300,
    "a\x01b",
    "ünï",
    "/dev/null",
    "http://x/y",
)
NUMBERS = ("", "0", "-1", "1.5", "x", ",", "a,b", "-1,2", "nan", "1e3", "9" * 20)
# What the word goes in the place of; {run} and {bench} are folders of a finished run and a bench.
PLACES = (
    *(
        "clean _",
        "report _",
        "eval _",
        "export _",
        "leaderboard _",
        "show _",
        "run _",
        "bench _",
        "tune _",
        "check _",
        "list _",
    ),
    *("compare _ {run}", "compare {run} _", "analyze calibration _", "analyze _ {run}", "analyze calibration {run} --labels _"),
    *("analyze calibration {run} --device _", "analyze calibration {run} --out _", "eval {run} --recipe _"),
    *("export {run} --format _", "export {run} --out _", "leaderboard {bench} _", "leaderboard {bench} --out _"),
    *("leaderboard {bench} --baseline _", "leaderboard a=_", "cp _ copy.yaml", "cp digits/kd _", "new _ kdzoo-mine"),
    *("new plugin _ --out mine", "new plugin kdzoo-mine --out _", "doctor --out _", "data --root _", "data fetch _", "data _"),
    *("cache _", "cache --out _", "cache small.yaml --out _", "show method _", "show _ kd", "show recipe _"),
    *("run small.yaml --plugin _", "bench small.yaml --executor _"),
)
COUNTS = (
    "bench small.yaml --workers _",
    "bench small.yaml --cohort _",
    "bench small.yaml --seeds _",
    "tune small.yaml --workers _",
)


@pytest.fixture
def folders(tmp_path: Path, kdzoo: Any) -> dict[str, str]:
    """A bench, one of its runs, and copies of both that are damaged."""
    Path("small.yaml").write_text(BENCH)
    assert kdzoo("bench", "small.yaml", "--workers", "1")[0] == 0
    bench = tmp_path / "runs" / "small"
    run = min(path.parent for path in bench.rglob("result.json"))
    Path("empty").mkdir()
    for name, text in (("list", "[]"), ("half", '{"a'), ("nothing", "")):
        for of, folder in (("run", run), ("bench", bench)):
            shutil.copytree(folder, f"{name} {of}")
            for file in [*Path(f"{name} {of}").rglob("*.json"), *Path(f"{name} {of}").rglob("*.safetensors")]:
                file.write_text(text)
    return {"run": str(run), "bench": str(bench)}


def cases(folders: dict[str, str]) -> Iterator[list[str]]:
    damaged = [str(path) for path in Path().iterdir() if path.name.endswith((" run", " bench"))]
    for places, words in ((PLACES, (*WORDS, *damaged, *folders.values(), "empty", "small.yaml")), (COUNTS, NUMBERS)):
        for place in places:
            for word in words:
                yield [
                    word.join(part.format(**folders).split("_", 1)) if "_" in part else part.format(**folders)
                    for part in place.split()
                ]


def wrong(kdzoo: Callable[..., Any], words: list[str]) -> str:
    """What is wrong with how a command ends; empty if nothing is."""
    try:
        code, out, err = kdzoo(*words)
    except SystemExit as left:
        return f"it left by SystemExit({left.code})"
    if code not in (0, 2, 3):
        return f"code {code}: {err[-300:]}"
    said = out + err
    if "Traceback" in said or "should not happen" in said:
        return said[-300:]
    return "" if code == 0 or words[0] == "check" or "error: " in err else f"code {code} without a sentence"


@pytest.mark.parametrize("sample", [60, pytest.param(None, marks=pytest.mark.slow)])
def test_it_ends_in_a_sentence_or_does_what_it_says(sample: int | None, folders: dict[str, str], kdzoo: Any) -> None:
    every = list(cases(folders))
    found = {" ".join(words)[:120]: wrong(kdzoo, words) for words in random.Random(0).sample(every, sample or len(every))}
    assert {case: problem for case, problem in found.items() if problem} == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("analyze", "", "somewhere"), "expected one name or more, as in A,B, got ''"),
        (("bench", "small.yaml", "--methods", ","), "expected one name or more, as in A,B, got ','"),
        (("bench", "small.yaml", "--workers", "9" * 20), "expected a whole number from 1 to 10000"),
        (("bench", "small.yaml", "--seeds", "9" * 20), "expected how many (3) or which ones (0,1,2)"),
        (("data", "--root", "nosuch"), "--root nosuch: there is no such folder (looked for /"),
    ],
)
def test_what_names_nothing_or_too_much_is_refused(words: tuple[str, ...], sentence: str, kdzoo: Any) -> None:
    Path("small.yaml").write_text(BENCH)
    code, _, err = kdzoo(*words)
    assert code in (2, 3)
    assert sentence in err
