"""The generated table of methods."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry

SCRIPT = Path(__file__).parents[2] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate() -> Iterator[Any]:
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("docs_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.fixture(scope="module")
def page(generate: Any) -> Any:
    return generate.page()


@pytest.mark.parametrize("kind", ["methods", "transforms"])
def test_every_built_in_plugin_has_a_row(kind: str, page: Any) -> None:
    own = [name for name, entry in registry.discover(kind).items() if entry.distribution == "kdzoo"]
    assert own
    assert [name for name in own if f"\n| `{name}` | " not in page] == []


def row(page: Any, name: str) -> Any:
    return next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))


def test_a_row_says_what_the_method_declares(page: Any) -> None:
    crd = row(page, "crd")
    assert '"Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699 |' in crd
    assert "| `crd` 0.8 | teacher; sample index; student taps `pooled`; teacher taps `pooled` |" in crd


def test_parameters_are_counted_in_training_and_in_what_is_deployed(page: Any) -> None:
    # tiny_cnn 4-8 has 438 parameters: DML trains another one, KD adds nothing.
    assert "| 438 / 0 |" in row(page, "dml")
    assert "| 0 / 0 |" in row(page, "kd")
    assert "| 492 / 532 |" in row(page, "sim_kd")  # a projector; and the teacher's classifier in place of the student's


def test_golden_cases_are_found_through_the_formulas_that_they_compute(generate: Any) -> None:
    assert generate.golden("methods", "pearson_kd") == ["pkd"]
    assert generate.golden("transforms", "standardize") == ["lskd", "lskd_dkd"]
    assert generate.golden("methods", "hard_label") == []


def test_recipes_inside_recipes_and_rows_of_a_bench_are_users(generate: Any) -> None:
    tree = {
        "methods": {"soft": {"use": "kd", "logits": ["standardize"]}},
        "teacher": {"recipe": {"methods": {"hard_label": {"targets": [{"use": "smooth", "epsilon": 0.1}]}}}},
        "bench": {"methods": {"row": {"methods": {"dkd": {}}}}},
    }
    used = set(generate.used_in(tree))
    assert {("methods", name) for name in ("kd", "hard_label", "dkd")} <= used
    assert {("transforms", name) for name in ("standardize", "smooth")} <= used


def test_check_refuses_a_page_that_is_out_of_date(
    generate: Any, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "docs" / "methods.md"
    file.parent.mkdir()
    file.write_text(page.replace("crd", "old"))
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "PAGE", file)
    monkeypatch.setattr(generate, "page", lambda: page)
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert capsys.readouterr().err == "docs/methods.md is out of date; write it anew by `python docs/generate.py`.\n"
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 0
