"""Whatever is wrong with what a user gives: one sentence with the place and the remedy, the right code, nothing written."""

import resource
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry

SETTINGS = {
    "a misspelt section": ("trian.epochs=3", "trian is no setting", "did you mean 'train'"),
    "a misspelt key": ("train.epoch=3", "train.epoch is no setting", "did you mean 'epochs'"),
    "a wrong type": ("train.epochs=many", "train.epochs must be an integer, got", "override train.epochs=many"),
    "a value out of range": ("train.batch_size=0", "train.batch_size must be > 0, got 0", "override train.batch_size=0"),
    "not one of the choices": ("train.precision=fp12", "train.precision must be one of 'fp32', 'bf16', 'fp16'", '"fp12"'),
    "a method's range": ("methods.kd.temperature=-1", "methods.kd.temperature must be > 0, got -1", ""),
    "a method's misspelt setting": ("methods.kd.temprature=2", "methods.kd.temprature is no", "did you mean 'temperature'"),
    "an unknown method": ("methods.kdd={}", "There is no 'kdd' among the methods", "did you mean"),
    "an unknown model": ("student=resnet200", "There is no 'resnet200' among the models", "did you mean"),
    "an unknown data set": ("task.data=cifra10", "There is no 'cifra10' among the data", "did you mean 'cifar10'"),
    "an unknown transform": ("methods.kd.logits=[standardise]", "methods.kd.logits[0]", "did you mean 'standardize'"),
    "an unknown term": ("methods.hard_label.weights.x=1", "methods.hard_label.weights.x", "there is no such term"),
    "a removal of nothing": ("~train.epoch", "~train.epoch removes nothing", "did you mean 'epochs'"),
    "an unreadable override": ("train.epochs=[1", "The value in the override 'train.epochs=[1' cannot be read", "quote it"),
    "a split that is too large": ("task.validation=5000", "task: validation asks for 5000 of 1200", "choose from 1 to 1199"),
    "no override": ("epochs", "The override 'epochs' cannot be read", "write a.b=1"),
    "a device that is not there": ("runtime.device=tpu9", "runtime.device must be auto, cpu, cuda", "got 'tpu9'"),
    "a missing teacher": ("methods.kd={}", "methods.kd learns from a teacher, but the recipe names none", "add e.g."),
    "no student": ("~student", "student is missing", "it must be"),
    "a misspelt role": ("optimizers.Student=sgd", "there is no learner or teacher 'Student'", "did you mean"),
    "an optimizer of nobody": (
        "optimizers.nobody=sgd",
        "there is no learner or teacher 'nobody'",
        "known: ",
    ),
    "a learner called student": ("learners={student: tiny_cnn}", "learners.student would replace the student", "another name"),
    "a schedule of no method": (
        "schedules={methods.kdd.temperature: cosine}",
        "schedules.methods.kdd.temperature: there is no methods.kdd",
        "hard_label",
    ),
    "a schedule of no term": (
        "schedules={methods.hard_label.weights.x: cosine}",
        "schedules.methods.hard_label.weights.x: there is no term 'x'",
        "hard_label",
    ),
    "a schedule of no role": ("schedules={optimizers.Student.lr: cosine}", "there is no optimizers.Student", "did you mean"),
    "a name above the folder": ("name=../../x", "name is '../../x'", "set runtime.out"),
    "an absolute name": ("name=/tmp/x", "name is '/tmp/x'", "set runtime.out"),
    "a name at home": ("name=~/x", "name is '~/x'", "set runtime.out"),
    "a share of images above one": ("task.validation=1.5", "task.validation must be a share below 1 or a whole number", "1.5"),
    "a number for a boolean": ("train.compile=7", "train.compile must be true or false, got 7", "override train.compile=7"),
    "an integer beyond 64 bits": ("train.epochs=9223372036854775808", "train.epochs must be between", "9223372036854775808"),
    "a number beyond 32 bits": ("optimizers.student.lr=1e300", "optimizers.student.lr must be between -3.4e+38", "1e+300"),
    "a negative crop": ("task.crop=-1", "task.crop must be at least 0, got -1", "override task.crop=-1"),
    "another task's data": (
        "task.data=wn18rr",
        "task.data gives a Triples",
        "needs an ImageSet; choose data that are made for it",
    ),
    "another task's data in a source of classes": (
        "task.data={use: some_classes, count: 3, data: trec}",
        "task.data.data gives a TextSet",
        "needs an ImageSet",
    ),
    "a plan without its parts": ("teacher={use: takd}", "teacher.assistants is missing", "a list of models"),
    "a device that torch lacks": ("runtime.device=vulkan", "runtime.device is 'vulkan'", "set runtime.device=cpu"),
    "a device without values": ("runtime.device=meta", "runtime.device is 'meta'", "set runtime.device=cpu"),
    "an unknown view": ("methods.hard_label.view=thrid", "methods.hard_label asks for the view 'thrid'", "second"),
    "too many learners": ("methods={dml: {learners: 1000000}}", "ask for 1000000 learners", "at most 1000"),
    "no method": ("~methods", "names no method", "add e.g. methods.hard_label={}"),
}


def refused(kdzoo: Any, tmp_path: Path, *words: Any, code: int = 2) -> Any:
    """The sentence by which a command refuses; nothing may be left behind."""
    before = sorted(tmp_path.rglob("*"))
    found, out, err = kdzoo(*words)
    assert (found, out) == (code, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert "This should not happen" not in err
    assert not [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.is_file() and path.name != ".lock"]
    return err


@pytest.mark.parametrize("case", SETTINGS)
def test_a_wrong_setting(case: str, kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    override, *parts = SETTINGS[case]
    err = refused(kdzoo, tmp_path, "run", tiny, override)
    assert all(part in err for part in parts), err


def test_an_unknown_recipe(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    err = refused(kdzoo, tmp_path, "run", "teachr")
    assert "There is no recipe 'teachr', neither as a file nor as a name; did you mean 'teacher' or 'mean_teacher'" in err


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("student: [mlp", "bad.yaml, line 2: did not find expected"),
        ("- a\n- b\n", "bad.yaml holds a list; a recipe is a mapping"),
        ("", "task.data is missing"),
        ("extends: nowhere\n", "There is no recipe 'nowhere'"),
        ("extends: bad.yaml\n", "Recipes extend each other in a circle"),
        ("student: ${oc.env:HOME}\n", "refers to ${oc.env:HOME}"),
    ],
)
def test_a_malformed_recipe(text: str, part: str, kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert part in refused(kdzoo, tmp_path, "run", "bad.yaml")


def test_a_binary_file_as_recipe(kdzoo: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "bad.yaml cannot be read" in refused(kdzoo, tmp_path, "run", "bad.yaml")


def test_missing_data_is_3_with_the_command(
    kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    err = refused(kdzoo, tmp_path, "run", tiny, "task.data=cifar10", f"paths.data={tmp_path}", code=3)
    assert "CIFAR-10 was not found in" in err
    assert "curl " in err


def test_truncated_data(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in ["batches.meta", "test_batch", *(f"data_batch_{n}" for n in range(1, 6))]:
        (folder / name).write_bytes(b"\x80\x02}q")
    err = refused(kdzoo, tmp_path, "run", tiny, "task.data=cifar10", f"paths.data={tmp_path / 'data'}")
    assert str(folder) in err


def test_a_missing_checkpoint(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    teacher = "teacher={use: frozen, model: mlp, checkpoint: gone.safetensors}"
    err = refused(kdzoo, tmp_path, "run", tiny, teacher, "methods.kd={}", code=3)
    assert "there is no file gone.safetensors" in err


def test_a_truncated_checkpoint(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    teacher = "teacher={use: frozen, model: mlp, checkpoint: cut.safetensors}"
    assert "cut.safetensors cannot be read as weights" in refused(kdzoo, tmp_path, "run", tiny, teacher, "methods.kd={}")


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_output_folder_that_is_a_file(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    err = refused(kdzoo, tmp_path, "run", tiny, f"runtime.out={out}")
    assert "cannot write to file" in err
    assert "set runtime.out elsewhere" in err
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_folder_without_permission(
    kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    err = refused(kdzoo, tmp_path, "run", tiny)
    assert "cannot write to runs/tiny/" in err
    assert "Permission denied; set runtime.out elsewhere." in err


def test_a_full_disk_fails_the_run_with_a_remedy(tiny: Any, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: it also stops root."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

    command = [sys.executable, "-m", "kdzoo.cli", "run", str(tiny), "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "free some space or set runtime.out elsewhere" in done.stderr
    assert not list(tmp_path.rglob("result.json"))
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")


def test_a_plugin_that_raises_on_import(
    kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "strange-1.0.dist-info").mkdir(parents=True)
    (site / "strange-1.0.dist-info" / "entry_points.txt").write_text("[kdzoo.methods]\nodd = strange_plugin:Odd\n")
    (site / "strange_plugin.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(str(site))
    registry.refresh()
    err = refused(kdzoo, tmp_path, "run", tiny, "methods.odd={}")
    assert "'odd' among the methods, from strange 1.0, is broken" in err
    assert "No module named 'nowhere_at_all'" in err
    assert kdzoo("run", tiny, "--quiet")[0] == 0


def test_two_plugins_with_one_name(kdzoo: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    registry.register("methods", "hard_label", object)
    err = refused(kdzoo, tmp_path, "run", tiny)
    assert "kdzoo" in err
    assert "Write 'kdzoo:hard_label' or 'in-process:hard_label'." in err


def test_a_warning_of_the_engine_is_one_line(kdzoo: Callable[..., Any], tiny: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = kdzoo("run", tiny, "teacher={use: frozen, model: mlp}", "methods.kd={}")
    assert code == 0
    assert any(line.startswith("warning: teacher 'teacher' reaches top1 ") for line in err.splitlines())
    assert "check its checkpoint and its data set.\n" in err


def test_a_schedule_of_nothing_is_named(kdzoo: Callable[..., Any], tiny: Any) -> None:
    code, _, err = kdzoo("run", tiny, "schedules={methods.kd.temperature: constant}")
    assert (code, err) == (2, "error: schedules.methods.kd.temperature: there is no methods.kd; known: hard_label.\n")
