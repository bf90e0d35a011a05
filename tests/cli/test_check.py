import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = """\
extends: tiny.yaml
bench:
  seeds: [0, 1, 2]
  methods:
    alone: {}
    low: {methods: {hard_label: {weights: {hard_label: 0.1}}}, train: {epochs: 1}}
"""


def rows(out: Any) -> list[Any]:
    return [line.split("\t") for line in out.splitlines()]


def test_good_recipes_are_ok(kdzoo: Callable[..., Any], tiny: Any) -> None:
    assert kdzoo("check", tiny, "digits/kd") == (0, f"{tiny}\tok\ndigits/kd\tok\n", "")


def test_every_recipe_is_checked_though_one_is_wrong(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("extends: tiny.yaml\ntrain: {epoch: 3}\n")
    code, out, _ = kdzoo("check", "bad.yaml", tiny, "nowhere")
    (bad, problem), good, missing = rows(out)
    assert code == 2
    assert bad == "bad.yaml"
    assert problem.startswith("train.epoch is no setting")
    assert "(from bad.yaml)" in problem
    assert good == [str(tiny), "ok"]
    assert missing[1].startswith("There is no recipe 'nowhere'")


def test_a_folder_stands_for_its_recipes_without_their_parts(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "all" / "_base").mkdir(parents=True)
    (tmp_path / "all" / "_base" / "part.yaml").write_text("train: {epochs: 3}\n")
    (tmp_path / "all" / "one.yaml").write_text(
        "extends: _base/part.yaml\nstudent: mlp\nmethods: {hard_label: {}}\ntask: {data: digits, use: image_classification}\n"
    )
    assert kdzoo("check", "all") == (0, "all/one.yaml\tok\n", "")


def test_overrides_apply_to_each(kdzoo: Callable[..., Any], tiny: Any) -> None:
    code, out, _ = kdzoo("check", tiny, "digits/kd", "train.epochs=x")
    assert code == 2
    assert [row[1].split(",")[0] for row in rows(out)] == ["train.epochs must be an integer"] * 2


def test_a_bench_recipe_is_expanded(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "bench.yaml").write_text(BENCH)
    assert kdzoo("check", "bench.yaml") == (0, "bench.yaml\tok, 6 runs\n", "")
    code, out, _ = kdzoo("check", "bench.yaml", "bench.methods.low.train.epochs=-1")
    assert code == 2
    assert "bench.methods.low: train.epochs must be > 0, got -1" in out


def test_deep_builds_the_run(kdzoo: Callable[..., Any], tiny: Any) -> None:
    wrong = "task.validation=5000"  # more than there are, which only reading the data finds out
    assert kdzoo("check", tiny, wrong)[0] == 0
    code, out, _ = kdzoo("check", tiny, wrong, "--deep")
    assert code == 2
    assert "choose from 1 to 1199" in out


def test_missing_things_are_3(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    assert kdzoo("check", tiny, "task.data=cifar10", "--deep")[0] == 3


def test_json(kdzoo: Callable[..., Any], tiny: Any) -> None:
    assert json.loads(kdzoo("check", tiny, "--json")[1]) == [{"recipe": str(tiny), "status": "ok"}]


def test_checking_trains_nothing(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    kdzoo("check", tiny, "--deep")
    assert sorted(tmp_path.iterdir()) == [tiny]


def test_nothing_to_check_is_the_users_mistake(kdzoo: Callable[..., Any]) -> None:
    assert kdzoo("check", "train.epochs=1")[0] == 2


def test_an_error_that_nobody_foresaw_does_not_end_the_check_of_a_folder(
    kdzoo: Callable[..., tuple[int, str, str]], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "b.yaml").write_text(tiny.read_text())

    def broken(name: str, overrides: object) -> list[object]:
        if "b.yaml" in name:
            raise KeyError("nowhere")
        return [None]

    monkeypatch.setattr("kdzoo.cli.commands.check._runs", broken)
    code, out, _ = kdzoo("check", tmp_path)
    assert code == 1
    lines = dict(line.split("\t") for line in out.splitlines())
    assert "KeyError: 'nowhere'. This should not happen" in lines[f"{tmp_path}/b.yaml"]
    assert lines[f"{tmp_path}/tiny.yaml"] == "ok"
