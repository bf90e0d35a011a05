import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from kdzoo import Method, RunContext, Step, registry, term
from kdzoo.cli import main
from kdzoo.data.digits import Digits

ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
RECIPE = """\
task: {use: image_classification, data: digits}
student: {use: tiny_cnn, widths: [4, 8]}
methods: {hard_label: {}}
train: {epochs: 2}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder, read only."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "small.yaml").write_text(RECIPE)
    assert main(["run", str(folder / "small.yaml"), f"runtime.out={folder}/runs", "--quiet"]) == 0
    return next((folder / "runs" / "small").iterdir())


@pytest.fixture
def run_folder(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def inputs():
    """The test images as the network sees them."""
    digits = Digits().load()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (digits.mean, digits.std))
    return (digits.test.images.float() / 255 - mean) / std


def said(folder):
    return json.loads((folder / "result.json").read_text())["test"]


def test_eval_of_a_run_reproduces_its_result_exactly(kdzoo, run_folder):
    code, out, err = kdzoo("eval", run_folder, "--json")
    assert (code, json.loads(out)) == (0, said(run_folder)["last"])
    assert err == "exactly what the run said.\n"


def test_eval_of_the_best_epochs_weights(kdzoo, run_folder):
    assert json.loads(kdzoo("eval", run_folder / "best.safetensors", "--json")[1]) == said(run_folder)["best"]


def test_eval_of_the_exported_weights_needs_neither_run_nor_recipe(kdzoo, run_folder, tmp_path):
    code, out, _ = kdzoo("export", run_folder, "--out", "exported")
    test = said(run_folder)["last"]
    shutil.rmtree(run_folder)
    shutil.move(tmp_path / "exported", tmp_path / "elsewhere")
    assert (code, out) == (0, "exported/model.safetensors\n")
    assert json.loads(kdzoo("eval", "elsewhere", "--json")[1]) == test
    assert json.loads(kdzoo("eval", "elsewhere/model.safetensors", "--json")[1]) == test


def test_eval_of_weights_alone_needs_the_recipe(kdzoo, run_folder, tmp_path):
    test = said(run_folder)["last"]
    shutil.copy(run_folder / "student.safetensors", tmp_path / "alone.safetensors")
    (tmp_path / "small.yaml").write_text(RECIPE)
    code, _, err = kdzoo("eval", "alone.safetensors")
    assert (code, err) == (
        2,
        "error: alone.safetensors lies beside neither recipe.yaml nor model.json; name its recipe: --recipe NAME.\n",
    )
    assert json.loads(kdzoo("eval", "alone.safetensors", "--recipe", "small.yaml", "--json")[1]) == test


def test_eval_says_what_differs(kdzoo, run_folder):
    result = json.loads((run_folder / "result.json").read_text())
    result["test"]["last"]["top1"] = 12.5
    (run_folder / "result.json").write_text(json.dumps(result))
    code, _, err = kdzoo("eval", run_folder)
    assert code == 0
    assert err.startswith("warning: this is not exactly what the run said: top1 ")
    assert "instead of 12.5" in err


def test_model_json_says_what_the_model_is(kdzoo, run_folder):
    kdzoo("export", run_folder)
    card = json.loads((run_folder / "export" / "model.json").read_text())
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
def test_onnx_gives_the_same_answers_at_any_batch_size(kdzoo, run_folder):
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
def test_eval_of_the_onnx_graph_reproduces_the_accuracy(kdzoo, run_folder):
    kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    found = json.loads(kdzoo("eval", "graph/model.onnx", "--json")[1])
    assert found["top1"] == said(run_folder)["last"]["top1"]
    assert found == pytest.approx(said(run_folder)["last"], rel=1e-4)


@pytest.mark.skipif(not ONNX, reason="needs the extra onnx")
def test_a_graph_is_not_exported_again(kdzoo, run_folder):
    kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    code, _, err = kdzoo("export", "graph/model.onnx")
    assert (code, err) == (2, "error: graph/model.onnx is an export already; export the run folder, or its weights.\n")


def test_onnx_without_its_extra_is_3_with_the_command(kdzoo, run_folder, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    code, _, err = kdzoo("export", run_folder, "--format", "onnx", "--out", "graph")
    assert code == 3
    assert err.startswith("error: ONNX needs the package onnx")
    assert err.endswith("Run: pip install 'kdzoo[onnx]'\n")
    assert not (tmp_path / "graph" / "model.json").exists()


def test_an_unfinished_run_is_not_exported(kdzoo, run_folder):
    (run_folder / "result.json").unlink()
    code, _, err = kdzoo("export", run_folder)
    assert code == 2
    assert "is not finished; start it again by `kdzoo run`, it resumes" in err


@pytest.mark.parametrize("command", ["export", "eval"])
def test_what_is_no_run_is_named(kdzoo, command):
    code, _, err = kdzoo(command, "nowhere")
    assert (code, err) == (2, "error: nowhere is neither a run folder nor an exported folder nor a weights file.\n")


def test_damaged_weights_are_named(kdzoo, run_folder):
    (run_folder / "student.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    code, _, err = kdzoo("eval", run_folder)
    assert code == 2
    assert "student.safetensors cannot be read as weights" in err


def test_an_unwritable_place_is_one_sentence(kdzoo, run_folder, tmp_path):
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
def test_what_a_method_deploys_is_what_is_exported(kdzoo, tmp_path, kind):
    registry.register("methods", "doubled", Doubled)
    (tmp_path / "small.yaml").write_text(RECIPE)
    result = json.loads(kdzoo("run", "small.yaml", "methods.doubled={}", "--json", "--quiet")[1])
    out = kdzoo("export", result["folder"], "--format", kind, "--out", "exported")[1]
    found = json.loads(kdzoo("eval", out.strip(), "--json")[1])
    card = json.loads((tmp_path / "exported" / "model.json").read_text())
    assert card["parameters"] == result["parameters"]["deployed"] == result["parameters"]["student"] + 110
    assert found == pytest.approx(result["test"]["last"], rel=1e-4)
