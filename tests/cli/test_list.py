import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry

METHOD = """\
\"\"\"Mine: a method in a file.\"\"\"
from kdzoo import Method, term


class MyMethod(Method):
    \"\"\"Args: alpha: a number.\"\"\"

    def __init__(self, *, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    @term()
    def mine(self, step):
        return step.student.rows.logits.square().mean()
"""


def columns(out: Any) -> list[Any]:
    return [line.split("\t") for line in out.splitlines()]


@pytest.mark.parametrize("words", [("list",), ("list", "methods", "--json"), ("--help",)])
def test_lists_and_help_import_neither_torch_nor_omegaconf_nor_rich(words: tuple[str, str, str] | tuple[str]) -> None:
    program = (
        "import sys; from kdzoo.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'omegaconf', 'rich', 'numpy'} & set(sys.modules); sys.exit(str(heavy) if heavy else code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_off_a_terminal_a_list_is_tab_separated(kdzoo: Callable[..., Any]) -> None:
    code, out, err = kdzoo("list", "methods")
    rows = columns(out)
    kd = next(row for row in rows if row[0] == "kd")
    assert (code, err) == (0, "")
    assert kd[1] == "KD: the student matches the teacher's softened distribution"
    assert kd[2].startswith("kdzoo ")
    assert kd[3] == "ok"


def test_on_a_terminal_a_list_has_headers(kdzoo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo.terminal.console.on_terminal", lambda stream: True)
    first = kdzoo("list", "schedules")[1].splitlines()[0]
    assert first.split() == ["name", "summary", "distribution", "status"]


def test_a_list_without_kind_says_how_many_there_are_and_what_they_are_called(kdzoo: Callable[..., Any]) -> None:
    code, out, err = kdzoo("list")
    rows = {kind: (int(number), names.split(", ")) for kind, number, names in columns(out)}
    full = columns(kdzoo("list", "--all")[1])
    assert (code, err) == (0, "")
    assert len(out.splitlines()) < 20
    assert all(number == sum(row[0] == kind for row in full) for kind, (number, _) in rows.items())
    assert "kd" in rows["methods"][1]
    assert len(rows["methods"][1]) == rows["methods"][0]
    assert "digits/ (2)" in rows["recipes"][1]


def test_all_is_a_line_for_everything_of_every_kind(kdzoo: Callable[..., Any]) -> None:
    kinds = {row[0] for row in columns(kdzoo("list", "--all")[1])}
    assert kinds >= {
        "methods",
        "recipes",
        "models",
        "data",
        "teachers",
        "tasks",
        "transforms",
        "schedules",
        "optimizers",
        "commands",
    }


def test_json_holds_the_same_rows(kdzoo: Callable[..., Any]) -> None:
    rows = json.loads(kdzoo("list", "models", "--json")[1])
    assert [[row["name"], row["summary"], row["distribution"], row["status"]] for row in rows] == columns(
        kdzoo("list", "models")[1]
    )


def test_a_kind_may_be_named_in_the_singular(kdzoo: Callable[..., Any]) -> None:
    assert kdzoo("list", "teacher") == kdzoo("list", "teachers")


def test_an_unknown_kind_comes_with_the_nearest(kdzoo: Callable[..., Any]) -> None:
    code, _, err = kdzoo("list", "methds")
    assert (code, err) == (2, "error: There is no kind of thing called 'methds': did you mean 'methods' or 'models'?\n")


def test_every_plugin_of_kdzoo_has_a_summary(kdzoo: Callable[..., Any]) -> None:
    own = [row for row in json.loads(kdzoo("list", "--json")[1]) if row["distribution"].startswith("kdzoo")]
    assert len(own) > 100
    assert [row["name"] for row in own if not row["summary"]] == []


def test_recipes_are_listed_by_name_without_their_parts(kdzoo: Callable[..., Any]) -> None:
    names = [row[0] for row in columns(kdzoo("list", "recipes")[1])]
    assert "digits/kd" in names
    assert not [name for name in names if "_base" in name]


def test_a_plugin_file_is_listed_with_its_hash(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD)
    row = next(row for row in columns(kdzoo("list", "methods", "--plugin", "mine.py")[1]) if row[0] == "my_method")
    assert row[2].startswith("mine.py ")
    assert row[3] == "ok"


def test_a_plugin_file_that_raises_is_one_sentence(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("raise RuntimeError('no luck')")
    code, _, err = kdzoo("list", "--plugin", "bad.py")
    assert (code, err) == (2, "error: The plugin file bad.py failed with RuntimeError: no luck.\n")


def test_a_plugin_file_that_is_not_there_is_one_sentence(kdzoo: Callable[..., Any]) -> None:
    code, _, err = kdzoo("list", "--plugin", "none.py")
    assert code == 2
    assert err == (
        f"error: There is no plugin file none.py (looked for {Path.cwd()}/none.py): expected the path of a Python file.\n"
    )


def test_two_plugins_with_one_name_are_listed_by_qualified_names(kdzoo: Callable[..., Any]) -> None:
    registry.register("methods", "kd", object())
    names = [row[0] for row in columns(kdzoo("list", "methods")[1])]
    assert {"kdzoo:kd", "in-process:kd"} <= set(names)
    assert "kd" not in names


def test_a_broken_distribution_is_listed_with_its_cause(
    kdzoo: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "strange-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(
        "[kdzoo.protocol]\n99 = strange\n[kdzoo.methods]\nodd = strange:Odd\n[kdzoo.metods]\nx = strange:X\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.refresh()
    rows = columns(kdzoo("list", "--all")[1])
    method = next(row for row in rows if row[1] == "odd")
    group = next(row for row in rows if row[1] == "kdzoo.metods")
    assert method[3] == "strange 1.0"
    assert method[4].startswith("broken: it was written for plugin protocol 99, this kdzoo speaks 1")
    assert "did you mean 'methods'" in group[4]
    assert "warning: odd of strange 1.0 is broken: it was written for plugin protocol 99" in kdzoo("list")[2]
