"""A recipe that a distribution ships means that distribution's own plugins; in a user's recipe a shared name is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo import registry
from kdzoo.errors import RecipeError
from kdzoo.recipe.find import available, describe
from kdzoo.recipe.load import load

SHARED = [("methods", "kd"), ("methods", "hard_label"), ("tasks", "image_classification"), ("models", "tiny_cnn")]
SHARED += [("optimizers", "sgd"), ("teachers", "frozen"), ("data", "digits"), ("schedules", "cosine")]


@pytest.mark.parametrize(("kind", "name"), SHARED)
@pytest.mark.parametrize("override", ["seed=0", "methods.kd.temperature=2", "student.widths=[4, 4]", "teacher.weights=best"])
def test_a_shipped_recipe_is_not_harmed_by_a_stranger(kind: str, name: str, override: str) -> None:
    own = registry.get(kind, name)
    registry.register(kind, name, type("Stranger", (), {}))
    settings = load("digits/kd", [override]).settings
    for spec, of in ((settings["methods"]["kd"], "methods"), (settings["task"], "tasks"), (settings["student"], "models")):
        assert registry.get(of, spec["use"]) is not None
    if (kind, name) == ("methods", "kd"):
        assert registry.get("methods", settings["methods"]["kd"]["use"]) is own


def test_benches_too() -> None:
    from kdzoo.benchmark.plan.grid import expand

    registry.register("methods", "kd", type("Stranger", (), {}))
    registry.register("methods", "hard_label", type("Stranger", (), {}))
    assert len(expand("quickstart").cells) > 3


def test_in_a_users_recipe_the_name_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("extends: digits/kd\nmethods: {dkd: {}}\n")
    registry.register("methods", "dkd", type("Stranger", (), {}))
    with pytest.raises(RecipeError, match=r"methods.dkd \(from own.yaml\): .* ambiguous.*'kdzoo:dkd' or 'in-process:dkd'"):
        load("own.yaml")


def test_a_name_that_a_user_writes_over_a_shipped_one_is_the_users() -> None:
    registry.register("models", "mlp", type("Stranger", (), {}))
    with pytest.raises(RecipeError, match="ambiguous"):
        load("digits/kd", ["student=mlp"])


def test_a_recipe_that_is_no_text_is_listed_without_description(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(b"description: \xff\xfe\n")
    assert describe(tmp_path / "odd.yaml") == ""
    assert describe(available()["digits/kd"]) != ""
