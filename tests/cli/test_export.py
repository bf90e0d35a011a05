import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from kdzoo import Method, RunContext, Step, registry, term
from kdzoo.cli import main
from kdzoo.data.digits import Digits
from kdzoo.data.image_folder import ImageFolder
from kdzoo.data.image_reader import image_reader
from kdzoo.extras import checkout

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
RECIPE = """\
task: {use: image_classification, data: digits}
student: {use: tiny_cnn, widths: [4, 8]}
methods: {hard_label: {}}
train: {epochs: 2}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run folder, read only."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(RECIPE)
    assert main(["run", str(folder / "small.yaml"), f"runtime.out={folder}/runs", "--quiet"]) == 0
    return next((folder / "runs" / "small").iterdir())


@pytest.fixture
def run_folder(trained: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def inputs() -> Any:
    """The test images as the network sees them."""
    digits = Digits().load()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (digits.mean, digits.std))
    return (digits.test.images.float() / 255 - mean) / std


def said(folder: Path) -> Any:
    return json.loads((folder / "result.json").read_text())["test"]


def test_eval_of_a_run_reproduces_its_result_exactly(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    code, out, err = kdzoo("eval", run_folder, "--json")
    assert (code, json.loads(out)) == (0, said(run_folder)["last"])
    assert err == "exactly what the run said.\n"


def test_the_folder_of_a_recipes_only_run_stands_for_it(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    several = run_folder.parent / "several"
    for name in ("first", "second"):
        code, _, err = kdzoo("eval", shutil.copytree(run_folder, several / name).parent)
        assert (code == 0) == (name == "first")
    assert "it holds 2 runs (first, second): name one." in err


def test_eval_of_the_best_epochs_weights(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    assert json.loads(kdzoo("eval", run_folder / "best.safetensors", "--json")[1]) == said(run_folder)["best"]


def test_eval_of_the_exported_weights_needs_neither_run_nor_recipe(
    kdzoo: Callable[..., Any], run_folder: Path, tmp_path: Path
) -> None:
    code, out, _ = kdzoo("export", run_folder, "--out", "exported")
    test = said(run_folder)["last"]
    shutil.rmtree(run_folder)
    shutil.move(tmp_path / "exported", tmp_path / "elsewhere")
    assert (code, out) == (0, "exported/model.pt2\n")
    assert json.loads(kdzoo("eval", "elsewhere", "--json")[1]) == test
    assert json.loads(kdzoo("eval", "elsewhere/model.pt2", "--json")[1]) == test


def test_eval_of_weights_alone_needs_the_recipe(kdzoo: Callable[..., Any], run_folder: Path, tmp_path: Path) -> None:
    test = said(run_folder)["last"]
    shutil.copy(run_folder / "student.safetensors", tmp_path / "alone.safetensors")
    (tmp_path / "small.yaml").write_text(RECIPE)
    code, _, err = kdzoo("eval", "alone.safetensors")
    assert (code, err) == (
        2,
        "error: alone.safetensors lies beside neither recipe.yaml nor model.json; name its recipe: --recipe NAME.\n",
    )
    assert json.loads(kdzoo("eval", "alone.safetensors", "--recipe", "small.yaml", "--json")[1]) == test


def test_eval_says_what_differs(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    result = json.loads((run_folder / "result.json").read_text())
    result["test"]["last"]["top1"] = 12.5
    (run_folder / "result.json").write_text(json.dumps(result))
    code, _, err = kdzoo("eval", run_folder)
    assert code == 0
    assert err.startswith("warning: this is not exactly what the run said: top1 ")
    assert "instead of 12.5" in err


def test_model_json_says_what_the_model_is(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    kdzoo("export", run_folder)
    card = json.loads((run_folder / "export" / "model.json").read_text())
    assert card["class_names"] == [str(digit) for digit in range(10)]
    digits = Digits().load()
    assert card["student"]["use"] == "tiny_cnn"
    assert card["data"]["classes"] == 10
    assert card["data"]["shape"] == [1, 8, 8]
    assert card["data"]["mean"] == list(digits.mean)
    assert card["data"]["std"] == list(digits.std)
    assert card["metric"] == "top1"
    assert card["parameters"] == (9 + 1 + 1) * 4 + (4 * 9 + 1 + 1) * 8 + (8 + 1) * 10
    assert "runtime" not in card["recipe"]
    assert "paths" not in card["recipe"]


@pytest.mark.skipif(not ONNX, reason="needs the extra onnx")
def test_onnx_gives_the_same_answers_at_any_batch_size(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    import onnxruntime

    code, out, _ = kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    session = onnxruntime.InferenceSession("graph/model.onnx")
    pixels = inputs()
    predictions = np.load(run_folder / "predictions.npz")["last.logits"]
    assert (code, out) == (0, "graph/model.onnx\n")
    for size in (1, 7, 64):
        (logits,) = session.run(None, {"input": pixels[:size].numpy()})
        np.testing.assert_allclose(logits, predictions[:size], rtol=2e-3, atol=2e-3)  # they were saved in half precision


@pytest.mark.skipif(not ONNX, reason="needs the extra onnx")
def test_eval_of_the_onnx_graph_reproduces_the_accuracy(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    found = json.loads(kdzoo("eval", "graph/model.onnx", "--json")[1])
    assert found["top1"] == said(run_folder)["last"]["top1"]
    assert found == pytest.approx(said(run_folder)["last"], rel=1e-4)


@pytest.mark.skipif(not ONNX, reason="needs the extra onnx")
def test_a_graph_is_not_exported_again(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    code, _, err = kdzoo("export", "graph/model.onnx")
    assert (code, err) == (2, "error: graph/model.onnx is an export already; export the run folder, or its weights.\n")


def test_onnx_without_its_extra_is_3_with_the_command(
    kdzoo: Callable[..., Any], run_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    code, _, err = kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    assert code == 3
    assert err.startswith("error: ONNX needs the package onnx")
    assert err.endswith(f"Run: pip install -e '{checkout()}[onnx]'\n")
    assert not (tmp_path / "graph" / "model.json").exists()


def test_an_unfinished_run_is_not_exported(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    (run_folder / "result.json").unlink()
    code, _, err = kdzoo("export", run_folder)
    assert code == 2
    assert "is not finished; start it again by `kdzoo run`, it resumes" in err


@pytest.mark.parametrize("command", ["export", "eval"])
def test_what_is_no_run_is_named(kdzoo: Callable[..., Any], command: str) -> None:
    code, _, err = kdzoo(command, "nowhere")
    assert code == 2
    assert err == f"error: There is no file or folder nowhere; looked for {Path.cwd()}/nowhere.\n"


def test_damaged_weights_are_named(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    (run_folder / "student.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    code, _, err = kdzoo("eval", run_folder)
    assert code == 2
    assert "student.safetensors cannot be read as weights" in err


def test_an_unwritable_place_is_one_sentence(kdzoo: Callable[..., Any], run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = kdzoo("export", run_folder, "--out", "file/below")
    assert code == 2
    assert "cannot write to file" in err


class Doubled(Method):
    """Deploys the student with a layer of its own behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(10, 10)

    @term()
    def doubled(self, step: Step) -> torch.Tensor:
        return self.layer(step.student.rows.logits).square().mean()

    def deploy(self, run: RunContext) -> torch.nn.Module:
        return torch.nn.Sequential(run.student, self.layer)


@pytest.mark.parametrize("kind", ["safetensors", pytest.param("onnx", marks=pytest.mark.skipif(not ONNX, reason="needs onnx"))])
def test_what_a_method_deploys_is_what_is_exported(kdzoo: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    registry.register("methods", "doubled", Doubled)
    (tmp_path / "small.yaml").write_text(RECIPE)
    result = json.loads(kdzoo("run", "small.yaml", "methods.doubled={}", "--json", "--quiet")[1])
    out = kdzoo("export", result["folder"], "--format", kind, "--out", "exported")[1]
    found = json.loads(kdzoo("eval", out.strip(), "--json")[1])
    card = json.loads((tmp_path / "exported" / "model.json").read_text())
    assert card["parameters"] == result["parameters"]["deployed"] == result["parameters"]["student"] + 110
    assert found == pytest.approx(result["test"]["last"], rel=1e-4)


WITHOUT_KDZOO = """
import sys
sys.modules["kdzoo"] = None  # whoever imports it fails
sys.argv[:] = sys.argv[1:]
__file__ = sys.argv[0]
exec(compile(open(__file__).read(), __file__, "exec"))
"""


def example_of(folder: Path, images: Any) -> Any:
    """What the example prints of images, in a process that cannot import kdzoo."""
    command = [sys.executable, "-c", WITHOUT_KDZOO, folder / "example.py", *images]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    "form", ["torch", pytest.param("onnx", marks=pytest.mark.skipif(not ONNX, reason="needs the extra onnx"))]
)
def test_the_example_answers_as_the_run_did_without_kdzoo(
    kdzoo: Callable[..., Any], run_folder: Path, tmp_path: Path, form: str
) -> None:
    kdzoo("export", run_folder, "--out", "exported", "--format", form)
    files = []
    for index, image in enumerate(Digits().load().test.images[:12]):
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(image[0].numpy()).save(files[-1])
    said_by_the_run = np.load(run_folder / "predictions.npz")["last.logits"][:12].argmax(1)
    answers = example_of(tmp_path / "exported", files)
    assert [line.rpartition(": ")[2].split()[0] for line in answers] == [str(label) for label in said_by_the_run]
    assert answers[0].startswith(f"{files[0]}: ")
    assert answers[0].endswith(" %)")


def test_the_example_of_safetensors_runs_with_kdzoo(kdzoo: Callable[..., Any], run_folder: Path, tmp_path: Path) -> None:
    kdzoo("export", run_folder, "--out", "exported", "--format", "safetensors")
    image = tmp_path / "0.png"
    Image.fromarray(Digits().load().test.images[0, 0].numpy()).save(image)
    done = subprocess.run([sys.executable, "exported/example.py", image], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{image}: ")


def test_the_example_reads_a_file_as_evaluation_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photographs of other sizes, cut to their middle and scaled: the pixels are equal to the task's own."""
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                pixels = generator.integers(0, 256, (30 + number, 41, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{number}.png")
    found = ImageFolder(folder=str(tmp_path), size=16).load()
    card = {"data": {"shape": [3, 16, 16], "mean": list(found.mean), "std": list(found.std)}}
    names = {"torch": torch, "F": torch.nn.functional, "np": np, "Image": Image, "CARD": card}
    exec(image_reader(found), names)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (found.mean, found.std))
    for index in range(3):
        expected = (found.test.images[index].float() / 255 - mean) / std
        assert torch.equal(names["read"](tmp_path / "test" / "cats" / f"{index}.png")[0], expected)


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_an_export_is_never_written_over_silently(kdzoo: Callable[..., Any], run_folder: Path, form: str) -> None:
    assert kdzoo("export", run_folder, "--format", form)[0] == 0
    card = run_folder / "export" / "model.json"
    card.write_text("{}")
    code, _, err = kdzoo("export", run_folder, "--format", form)
    assert code == 2
    assert err.endswith("already: choose another folder by --out, or write over it by --force.\n")
    assert card.read_text() == "{}"
    assert kdzoo("export", run_folder, "--format", form, "--force")[0] == 0
    assert json.loads(card.read_text())["format"] == 1


def test_a_damaged_graph_is_said(kdzoo: Callable[..., Any], run_folder: Path) -> None:
    kdzoo("export", run_folder, "--out", "exported")
    Path("exported/model.pt2").write_bytes(b"no archive")
    code, _, err = kdzoo("eval", "exported")
    assert code == 2
    assert "exported/model.pt2 cannot be read as a graph of PyTorch" in err
