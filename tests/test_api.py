"""What `import kdzoo` gives, and the same things from Python as on the command line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import kdzoo
from kdzoo.errors import RecipeError

OVERRIDES = {"train.epochs": 2, "train.batch_size": 32}


class Net(nn.Module):
    def __init__(self, width: Any) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(16, width), nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.body(x.flatten(1))))


def tensors(samples: int = 120) -> tuple[Any, Any, Any, Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * samples, 1, 4, 4, generator=generator)
    y = x.flatten(1)[:, :3].argmax(1)
    return x[:samples], y[:samples], x[samples:], y[samples:]


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_import_brings_nothing_heavy() -> None:
    program = "import sys, kdzoo; sys.exit(str({'torch', 'omegaconf', 'numpy'} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("name", kdzoo.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(kdzoo, name) is not None
    assert name in dir(kdzoo)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'kdzoo' has no attribute 'nothing'"):
        kdzoo.nothing  # noqa: B018


def test_bench_can_be_called_before_and_after_its_package_is_imported() -> None:
    program = "import kdzoo; assert callable(kdzoo.bench); import kdzoo.benchmark.plan.grid; assert callable(kdzoo.bench)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_own_modules_and_tensors_are_trained(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    student = Net(4)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    result = kdzoo.run(
        {"name": "own"},
        student=student,
        data=tensors(),
        methods={"hard_label": {}},
        overrides={**OVERRIDES, "train.epochs": 10},
    )
    assert result.metric > 60
    assert result.values["data"]["classes"] == 3
    assert result.folder.is_dir()
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert "\nepoch 1/10  loss " in capsys.readouterr().err


def test_an_own_module_as_teacher_is_frozen_whatever_teacher_the_recipe_has() -> None:
    recipe = {
        "student": Net(4),
        "teacher": {"use": "frozen", "recipe": "digits/teacher"},
        "methods": {"hard_label": {}, "kd": {}},
    }
    teacher = Net(8)
    with torch.no_grad():  # a teacher that knows the answer
        teacher.body.weight.copy_(torch.eye(8, 16))
        teacher.head.weight.copy_(10 * torch.eye(3, 8))
        teacher.body.bias.fill_(3.0)
        teacher.head.bias.zero_()
    result = kdzoo.run(recipe, teacher=teacher, data=tensors(), overrides=OVERRIDES, progress=False)
    assert result.values["teachers"]["teacher"]["kind"] == "frozen"
    assert result.values["teachers"]["teacher"]["test"]["top1"] == 100


def test_the_same_modules_are_the_same_run() -> None:
    torch.manual_seed(0)
    student = Net(4)
    recipe = {"student": student, "methods": {"hard_label": {}}}
    first = kdzoo.run(recipe, data=tensors(), overrides=OVERRIDES, progress=False)
    assert kdzoo.run(recipe, data=tensors(), overrides=OVERRIDES, progress=False) == first
    with torch.no_grad():
        student.head.bias.add_(1)
    assert kdzoo.run(recipe, data=tensors(), overrides=OVERRIDES, progress=False).identity != first.identity


def test_a_named_recipe_takes_sections_and_overrides() -> None:
    result = kdzoo.run(
        "digits/teacher", student={"use": "mlp", "hidden": [8]}, overrides={"train.epochs": 1, "name": "named"}, progress=False
    )
    assert result.values["parameters"]["student"] == (64 + 1) * 8 + (8 + 1) * 10
    assert result.values["name"] == "named"


def test_methods_replace_those_of_the_recipe() -> None:
    result = kdzoo.run("digits/kd", methods={"hard_label": {}}, overrides={"train.epochs": 1, "teachers": {}}, progress=False)
    text = (result.folder / "recipe.yaml").read_text()
    assert "hard_label:" in text
    assert "kd:" not in text


def test_a_folder_can_be_named(tmp_path: Path) -> None:
    given = {"student": "linear", "methods": {"hard_label": {}}}
    result = kdzoo.run(given, data=tensors(), overrides=OVERRIDES, folder=tmp_path / "here", progress=False)
    assert result.folder == tmp_path / "here"
    assert (tmp_path / "here" / "result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"overrides": {"train.epoch": 3}}, "train.epoch is no setting"),
        ({"overrides": {"train.epochs": "many"}}, "train.epochs must be an integer"),
        ({"methods": {"kdd": {}}}, "There is no 'kdd' among the methods"),
        ({"student": 3}, "student must be"),
        ({"overrides": {"student": Net(4)}}, "overrides['student'] holds a Python object (Net)"),
        (
            {"data": tensors()[:3]},
            "data must be a name, a mapping, or objects that a source takes, got tuple: tensors takes the four (train_images,",
        ),
    ],
)
def test_a_mistake_is_a_sentence(arguments: Any, part: str) -> None:
    given = {"student": "linear", "methods": {"hard_label": {}}, "task": {"use": "image_classification", "data": "digits"}}
    with pytest.raises(RecipeError) as caught:
        kdzoo.run(given, progress=False, **arguments)
    assert part in str(caught.value)


def test_a_bench_takes_own_modules(tmp_path: Path) -> None:
    x, y, test_x, test_y = tensors()
    data = {"use": "tensors", "train_images": x, "train_labels": y, "test_images": test_x, "test_labels": test_y}
    recipe = {
        "name": "own",
        "task": {"use": "image_classification", "data": data},
        "student": Net(4),
        "train": {"epochs": 1},
        "bench": {"seeds": [0], "methods": {"alone": {"methods": {"hard_label": {}}}}},
    }
    board = kdzoo.bench(recipe, out=tmp_path, workers=1)
    assert [row.label for row in board.rows] == ["alone"]
    assert board.rows[0].last.n == 1
