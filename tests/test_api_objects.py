"""What Python hands over and gets back: trained models, tables, data sets and loaders, modules in benches."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import kdzoo
from kdzoo.data.datasets import tensors_of
from kdzoo.errors import MissingError, RecipeError, WeakTeacherWarning

FAST = {"train.epochs": 3, "train.batch_size": 32}


class Net(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(16, width), nn.BatchNorm1d(width), nn.Linear(width, 3)

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.norm(self.body(x.flatten(1)))))


def tensors(samples: int = 150) -> tuple[Any, Any, Any, Any]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * samples, 1, 4, 4, generator=generator)
    y = x.flatten(1)[:, :3].argmax(1)
    return x[:samples], y[:samples], x[samples:], y[samples:]


def trained(**more: Any) -> Any:
    return kdzoo.run(
        {"name": "own"}, student=Net(), data=tensors(), methods={"hard_label": {}}, overrides=FAST, progress=False, **more
    )


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def accuracy(model: Any, result: Any) -> Any:
    _, _, x, y = tensors()
    mean, std = (torch.tensor(result.values["data"][name]).view(-1, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        return 100 * (model((x - mean) / std).argmax(1) == y).float().mean().item()


def test_a_run_returns_the_trained_model() -> None:
    result = trained()
    model = result.model()
    assert isinstance(model, Net)
    assert not model.training
    assert accuracy(model, result) == pytest.approx(result.metric)
    assert accuracy(result.model("best"), result) == pytest.approx(result.values["test"]["best"]["top1"])
    assert accuracy(Net(), result) < result.metric
    with torch.no_grad():
        model.head.weight.zero_()
    assert accuracy(result.model(), result) == pytest.approx(result.metric)  # each call gives another copy


def test_a_finished_run_returns_it_too_and_it_is_a_recipes_as_well() -> None:
    torch.manual_seed(0)
    first = trained()
    torch.manual_seed(0)
    again = trained()
    assert (again.identity, again.values["test"]) == (first.identity, first.values["test"])
    assert accuracy(again.model(), again) == pytest.approx(first.metric)
    named = kdzoo.run(
        {"task": {"data": "digits", "train_size": 44}, "student": {"use": "linear"}, "methods": {"hard_label": {}}},
        overrides={"train.epochs": 1},
        progress=False,
    )
    assert named.model()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_model_that_is_not_there_is_said() -> None:
    result = kdzoo.run(
        {"name": "own"},
        student=Net(),
        data=tensors(),
        methods={"hard_label": {}},
        overrides={**FAST, "task.validation": 0},
        progress=False,
    )
    with pytest.raises(RecipeError, match=r"There is no .*best\.safetensors: no epoch .* take which='last'"):
        result.model("best")
    with pytest.raises(RecipeError, match="which must be 'last' or 'best', got 'worst'"):
        result.model("worst")


def test_a_result_exports_an_own_module(tmp_path: Path) -> None:
    result = trained()
    file = result.export(tmp_path / "out")
    graph = torch.export.load(file).module()
    x = torch.randn(5, 1, 4, 4)
    with torch.no_grad():
        assert torch.allclose(graph(x), result.model()(x), atol=1e-6)
    with pytest.raises(RecipeError, match="already: choose another folder"):
        result.export(tmp_path / "out")
    assert result.export(tmp_path / "out", force=True) == file


BENCH = {
    "name": "mine",
    "train": {"epochs": 3, "batch_size": 32},
    "bench": {"seeds": [0, 1], "baseline": "kd", "methods": {"kd": {"methods": {"hard_label": {}, "kd": {}}}}},
    "methods": {"hard_label": {}},
}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A bench of own modules and tensors; its teacher was trained by kdzoo before."""
    folder = tmp_path_factory.mktemp("bench")
    teacher = kdzoo.run(
        {"name": "t"},
        student=Net(64),
        data=tensors(),
        methods={"hard_label": {}},
        overrides={"train.epochs": 12, "train.batch_size": 32, "runtime.out": str(folder)},
        progress=False,
    ).model()
    return kdzoo.bench(BENCH, out=folder, student=Net(), teacher=teacher, data=tensors())


def test_modules_and_tensors_in_benches(board: Any) -> None:
    assert not board.failures
    assert {row.label: row.last.n for row in board.rows} == {"kd": 2, "student alone": 2, "teacher": 1}


def test_a_bench_is_a_table_of_numbers(board: Any) -> None:
    rows = {row["row"]: row for row in board.table}
    assert [row["row"] for row in board.table] == [row.label for row in board.rows]
    assert rows["kd"]["top1"] == board.rows[[r.label for r in board.rows].index("kd")].last.mean
    assert rows["student alone"]["difference"] == pytest.approx(rows["student alone"]["top1"] - rows["kd"]["top1"])
    assert rows["student alone"]["low"] <= rows["student alone"]["difference"] <= rows["student alone"]["high"]
    assert rows["teacher"]["difference"] is None


def test_a_bench_as_pandas(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = board.to_pandas()
    assert list(frame.index) == [row.label for row in board.rows]
    assert frame.loc["kd", "top1"] == pytest.approx(next(row["top1"] for row in board.table if row["row"] == "kd"))
    assert math.isnan(frame.loc["kd", "difference"])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingError, match="to_pandas needs pandas, which is not installed"):
        board.to_pandas()


def test_a_bench_shows_itself_in_a_notebook(board: Any) -> None:
    assert "<iframe" in board._repr_html_()


def test_an_untrained_module_as_teacher_is_warned_of() -> None:
    torch.manual_seed(0)
    with pytest.warns(WeakTeacherWarning, match=r"the module that you gave seems untrained: train it, or load its weights"):
        kdzoo.run(
            {"name": "own"},
            student=Net(),
            teacher=Net(),
            data=tensors(),
            methods={"hard_label": {}, "kd": {}},
            overrides=FAST,
            progress=False,
        )


class Pictures(Dataset):
    """Pillow's images, as torchvision's folders give them."""

    classes = ("dark", "bright")

    def __init__(self, seed: Any, size: int = 8, mode: str = "RGB") -> None:
        self.generator, self.size, self.mode = np.random.default_rng(seed), size, mode
        self.items = [self._made(number % 2) for number in range(60)]

    def _made(self, label: Any) -> tuple[Any, Any]:
        shape = (self.size, self.size, 3) if self.mode == "RGB" else (self.size, self.size)
        pixels = self.generator.integers(100 * label, 100 * label + 150, shape, dtype=np.uint8)
        return Image.fromarray(pixels, self.mode), label

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]


def trained_on(data: Any, **more: Any) -> Any:
    return kdzoo.run(
        {"student": "linear", "name": "own"}, data=data, methods={"hard_label": {}}, overrides=FAST, progress=False, **more
    )


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_data_sets_of_pictures(mode: str) -> None:
    result = trained_on((Pictures(0, mode=mode), Pictures(1, mode=mode)))
    assert result.metric > 90
    assert result.values["data"]["shape"] == [3 if mode == "RGB" else 1, 8, 8]


def test_a_loader_of_a_subset_gives_its_samples_and_what_cannot_be_known_is_refused() -> None:
    images, labels = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8), torch.arange(40) % 4
    data = TensorDataset(images, labels)
    half = [DataLoader(data, 8, sampler=SubsetRandomSampler(range(start, start + 20))) for start in (0, 20)]
    found = tensors_of(half)
    assert torch.equal(found["train_images"], images[:20])
    assert torch.equal(found["test_labels"], labels[20:])
    refused = {
        "WeightedRandomSampler": {"sampler": WeightedRandomSampler([1.0] * 40, 40)},
        "RandomSampler": {"sampler": RandomSampler(data, replacement=True)},
        "list": {"batch_sampler": [[0, 1], [2, 3]]},
        "collate_fn": {"collate_fn": lambda items: items},
    }
    for name, settings in refused.items():
        with pytest.raises(RecipeError, match=rf"data\['train'\] is a loader with a .*{name}.*Subset"):
            tensors_of((DataLoader(data, **settings), data))


@pytest.mark.parametrize("seeds", ["31", 3, [-1], [0.5], [True]])
def test_seeds_that_are_none_are_a_sentence(seeds: Any) -> None:
    with pytest.raises(RecipeError, match="seeds must be a list of whole numbers from 0 on"):
        kdzoo.bench("quickstart", seeds=seeds)


def test_data_sets_loaders_and_tensors_are_the_same_data() -> None:
    a, b, c, d = tensors()
    sets = TensorDataset(a, b), TensorDataset(c, d)
    loaders = [DataLoader(data, batch_size=7, shuffle=True) for data in sets]
    found = {trained_on(data).identity for data in ((a, b, c, d), sets, loaders, {"train": sets[0], "test": loaders[1]})}
    assert len(found) == 1


def test_a_validation_part_of_ones_own() -> None:
    a, b, c, d = tensors()
    data = {"train": TensorDataset(a, b), "test": TensorDataset(c, d), "validation": TensorDataset(c[:40], d[:40])}
    sizes = trained_on(data).values["data"]["sizes"]
    assert (sizes["train"], sizes["validation"], sizes["test"]) == (150, 40, 150)


class Random(Dataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, Any]:
        return torch.rand(1, 4, 4), index % 2


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        yield torch.zeros(1, 4, 4), 0


def test_random_augmentation_inside_a_data_set_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"data\['train'\] gives another image each time, but is read once"):
        trained_on({"train": Random(), "test": TensorDataset(torch.rand(9, 1, 4, 4), torch.arange(9) % 2)})


def of(*items: Any) -> Any:
    class Given(Dataset):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, index: Any) -> Any:
            return items[index]

    return Given()


GOOD = TensorDataset(torch.rand(9, 1, 4, 4), torch.arange(9) % 2)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((GOOD, GOOD, GOOD), "data must be two data sets"),
        ({"train": GOOD}, "data has no part 'test'"),
        ({"train": GOOD, "test": GOOD, "val": GOOD}, "data has a part 'val'; the parts are train, validation, test"),
        ((Endless(), GOOD), r"data\['train'\] is a Endless without a length"),
        ((GOOD, of()), r"data\['test'\] is empty"),
        ((of((torch.zeros(1, 4, 4), 0), (torch.zeros(1, 5, 4), 0)), GOOD), r"data\['train'\]\[1\] is torch.float32 of shape"),
        ((of((torch.zeros(1, 4, 4), 0.5)), GOOD), r"data\['train'\]\[0\] has the label 0.5"),
        ((of((torch.zeros(1, 4, 4), "cat")), GOOD), r"data\['train'\]\[0\] has the label 'cat'"),
        ((of(("file.png", 0)), GOOD), r"data\['train'\]\[0\] holds a str as its image"),
        ((of(torch.zeros(1, 4, 4)), GOOD), r"data\['train'\]\[0\] is a Tensor: a pair"),
    ],
)
def test_data_sets_that_do_not_fit_are_said(data: dict[str, Any] | tuple[Any, ...], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        trained_on(data)
