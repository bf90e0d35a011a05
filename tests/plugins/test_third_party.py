"""A stranger's distribution: built, installed beside kdzoo's wheel in a fresh environment, found, and used."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "plugins" / "kdzoo-example"


class Environment:
    """A fresh environment; torch and the like come from the one that the tests run in, kdzoo does not."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.folder = folder / "bin", folder
        self.uv = os.environ.get("UV") or shutil.which("uv")
        outer = ["--python", sys.executable, "--offline"]
        called([self.uv, "venv", *outer, folder] if self.uv else [sys.executable, "-m", "venv", folder])
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "outer.pth").write_text(sysconfig.get_path("purelib"))

    def install(self, *wheels: Any) -> None:
        pip = [self.uv, "pip", "install", "--offline", "--python", self.bin / "python"]
        called([*(pip if self.uv else [self.bin / "python", "-m", "pip", "install", "--no-index"]), "--no-deps", *wheels])

    def __call__(self, *command: Any, cwd: Any) -> Any:
        return called([self.bin / command[0], *command[1:]], cwd=cwd)


def called(command: Any, cwd: Any = None) -> Any:
    hidden = ("PYTHON", "COV", "PYTEST", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(project: Any, out: Any) -> Any:
    called([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=project)
    name = project.name.replace("-", "_") if project != ROOT else "kdzoo"
    return next(out.glob(f"{name}-[0-9]*.whl"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With kdzoo's wheel, the example's, and that of a plugin that `kdzoo new plugin` wrote."""
    folder = tmp_path_factory.mktemp("third_party")
    environment = Environment(folder / "venv")
    environment.install(built(ROOT, folder / "dist"))
    environment("kdzoo", "new", "plugin", "kdzoo-mine", cwd=folder)
    environment.install(built(EXAMPLE, folder / "dist"), built(folder / "kdzoo-mine", folder / "dist"))
    return environment


def test_kdzoo_comes_from_its_wheel(environment: Environment, tmp_path: Path) -> None:
    where = environment("python", "-c", "import kdzoo; print(kdzoo.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.folder)


def test_list_finds_the_method_the_recipe_and_the_command_of_a_stranger(environment: Environment, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in environment("kdzoo", "list", "--all", cwd=tmp_path).splitlines()]
    theirs = [row for row in rows if row[3] == "kdzoo-example 0.1.0"]
    assert [row[:2] for row in theirs] == [
        ["methods", "logit_matching"],
        ["recipes", "example/digits"],
        ["analyses", "agreement"],
        ["commands", "example"],
    ]
    assert theirs[0][2] == "The student regresses the teacher's logits"
    assert {row[4] for row in theirs} == {"ok"}


def test_show_names_the_recipe_that_uses_the_method(environment: Environment, tmp_path: Path) -> None:
    card = json.loads(environment("kdzoo", "show", "method", "logit_matching", "--json", cwd=tmp_path))
    assert card["recipes"] == ["example/digits"]
    assert card["terms"] == {"logit_matching": 1.0}


def test_a_stranger_brings_a_command(environment: Environment, tmp_path: Path) -> None:
    assert environment("kdzoo", "example", "logit_matching", cwd=tmp_path) == "logit_matching\t1\n"


def test_a_strangers_recipe_trains(environment: Environment, tmp_path: Path) -> None:
    result = json.loads(environment("kdzoo", "run", "example/digits", "--json", cwd=tmp_path))
    assert result["test"]["last"]["top1"] > 60
    assert result["teachers"]["teacher"]["test"]["top1"] > 60
    (folder,) = (tmp_path / "runs" / "digits").iterdir()
    found = json.loads(environment("kdzoo", "analyze", "agreement", folder, "--json", cwd=tmp_path))
    assert 0.6 < found["agreement"]["digits"]["agreement"] <= 1
    assert (folder / "analyses" / "agreement" / "agreement.svg").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("plugin", ["kdzoo-example", "kdzoo-mine"])
def test_a_strangers_method_keeps_the_contract(plugin: str, environment: Environment, tmp_path: Path) -> None:
    source = EXAMPLE if plugin == "kdzoo-example" else environment.folder.parent / plugin
    shutil.copytree(source / "tests", tmp_path / "tests")
    shutil.copy(source / "pyproject.toml", tmp_path)
    environment("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)


def test_a_new_plugins_recipe_trains(environment: Environment, tmp_path: Path) -> None:
    result = json.loads(environment("kdzoo", "run", "mine/digits", "--json", cwd=tmp_path))
    assert result["test"]["last"]["top1"] > 60


def test_doctor_finds_nothing_wrong(environment: Environment, tmp_path: Path) -> None:
    findings = json.loads(environment("kdzoo", "doctor", "--json", cwd=tmp_path))
    assert [finding for finding in findings if finding["status"] == "wrong"] == []
