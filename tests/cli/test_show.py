import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.recipe.load import load

NO_DEFAULT = """\
from kdzoo import Method


class Odd(Method):
    def __init__(self, *, size: int) -> None:
        super().__init__()
"""


def test_a_method_shows_its_formula_citation_settings_terms_needs_and_recipes(kdzoo: Callable[..., Any]) -> None:
    code, out, err = kdzoo("show", "method", "kd")
    assert (code, err) == (0, "")
    assert "kd = T^2 * mean_r KL(softmax(z_t / T) || softmax(z_s / T))" in out
    assert "Hinton, Vinyals, Dean" in out
    assert "settings\n  temperature  a number  4.0\n" in out
    assert "terms\n  kd  weight 1\n" in out
    assert "needs\n  teacher  true\n" in out
    assert "digits/kd\n" in out[out.index("\nrecipes\n") :]


def test_a_method_as_json(kdzoo: Callable[..., Any]) -> None:
    card = json.loads(kdzoo("show", "dkd", "--json")[1])
    assert card["kind"] == "methods"
    assert [(s["name"], s["default"]) for s in card["settings"]] == [("temperature", 4.0), ("alpha", 1.0), ("beta", 8.0)]
    assert card["terms"] == {"dkd": 1.0}
    assert card["needs"] == {"teacher": True}


def test_a_method_with_a_required_setting_shows_no_needs(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(NO_DEFAULT)
    card = json.loads(kdzoo("show", "odd", "--json", "--plugin", "odd.py")[1])
    assert card["settings"] == [{"name": "size", "type": "an integer", "default": "required"}]
    assert card["needs"] is None


def test_a_recipe_is_shown_resolved_as_yaml_that_loads_to_the_same(
    kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    code, out, _ = kdzoo(
        "show", "recipe", tiny, "train.epochs=7", "~methods.hard_label", "methods.kd.temperature=2", "teacher=virtual"
    )
    (tmp_path / "copy.yaml").write_text(out)
    settings = load(tmp_path / "copy.yaml").settings
    assert code == 0
    assert settings["train"]["epochs"] == 7
    assert set(settings["methods"]) == {"kd"}
    assert settings["methods"]["kd"]["temperature"] == 2.0


def test_provenance_says_where_each_value_comes_from(kdzoo: Callable[..., Any], tiny: Any) -> None:
    out = kdzoo("show", tiny, "seed=3", "--provenance")[1]
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    assert rows["seed"] == ["3", "override seed=3"]
    assert rows["train.epochs"] == ["2", "tiny.yaml"]
    assert rows["train.batch_size"] == ["64", "default"]


def test_a_name_alone_is_looked_up_among_all_kinds(kdzoo: Callable[..., Any]) -> None:
    assert kdzoo("show", "resnet20") == kdzoo("show", "model", "resnet20")
    assert kdzoo("show", "digits/kd") == kdzoo("show", "recipe", "digits/kd")


def test_a_name_of_several_kinds_asks_which(kdzoo: Callable[..., Any]) -> None:
    registry.register("models", "dkd", lambda: None)
    code, _, err = kdzoo("show", "dkd")
    assert (code, err) == (2, "error: 'dkd' is among the methods and the models: say which, as in `kdzoo show methods dkd`.\n")


@pytest.mark.parametrize(
    ("words", "near"), [(("resnet200",), "'resnet20'"), (("method", "dkdd"), "'dkd'"), (("recipe", "teachr"), "'teacher'")]
)
def test_a_misspelt_name_comes_with_the_nearest(
    kdzoo: Callable[..., Any], words: tuple[str, str] | tuple[str], near: str
) -> None:
    code, out, err = kdzoo("show", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: There is no")
    assert near in err.partition("did you mean")[2]


def test_the_rows_of_a_bench_use_methods_but_name_none(
    kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "bench: {methods: {dkd: {methods: {kd: {}}}, plain: {methods: {own: {use: dist}}}}}\n"
    (tmp_path / "rows.yaml").write_text("student: mlp\n" + rows)
    monkeypatch.setattr("kdzoo.cli.card_cache.kept", lambda kind, name: None)
    monkeypatch.setattr("kdzoo.cli.card_cache.keep", lambda kind, name: None)
    monkeypatch.setattr("kdzoo.cli.card.available", lambda: {"rows": tmp_path / "rows.yaml"})
    used = {name: json.loads(kdzoo("show", "method", name, "--json")[1])["recipes"] for name in ("kd", "dkd", "dist")}
    assert used == {"kd": ["rows"], "dkd": [], "dist": ["rows"]}
