"""RepDistiller's protocol on CIFAR-100: pairs, methods, and how the two are put together."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from kdzoo.benchmark.plan.grid import expand
from kdzoo.benchmark.report.published import published
from kdzoo.engine.assemble import assemble
from kdzoo.engine.stages import StagePlan
from kdzoo.recipe.find import available, hidden
from kdzoo.recipe.load import load
from kdzoo.testing.tiny import first_window

FOLDER, PAIRS, TEACHERS = "cifar100/", "cifar100/pairs/", "cifar100/teachers/"
NAMES = [name.removeprefix(PAIRS) for name in available() if name.startswith(PAIRS) and not hidden(name)]
TABLE = "RepDistiller README, last epoch"
SAYS_OF_ITSELF = ("name", "description", "bench")
USUAL, EXAMPLES = "resnet32x4_resnet8x4", "vgg13_vgg8"


grid = functools.cache(lambda pair: expand(PAIRS + pair, seeds=[0]))


@pytest.fixture
def rows() -> Callable[..., Any]:
    """`rows(pair)`: the settings of each of its rows, by label."""
    return lambda pair: {cell.label: cell.recipe.settings for cell in grid(pair).cells}


def numbers(pair: Any) -> dict[str, Any]:
    """The published numbers of a pair, by the label of the row that shows them."""
    return {label: published()[name] for label, name in grid(pair).published.items()}


def plain(settings: Any, *more: Any) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in (*SAYS_OF_ITSELF, *more)}


def test_there_are_the_thirteen_pairs_of_the_tables() -> None:
    assert len(NAMES) == 13


@pytest.mark.parametrize("pair", NAMES)
def test_a_pair_trains_its_student_by_kd_with_its_own_teacher(pair: Any) -> None:
    recipe = load(PAIRS + pair)
    teacher = recipe.get("teachers.teacher.recipe")
    assert pair.startswith(teacher["name"] + "_")
    assert plain(teacher, "paths", "runtime") == plain(load(TEACHERS + teacher["name"]).settings, "paths", "runtime")
    assert recipe.get("student.use").startswith(pair.removeprefix(teacher["name"] + "_"))
    assert set(recipe.settings["methods"]) == {"hard_label", "kd"}


@pytest.mark.parametrize("pair", NAMES)
def test_the_protocol_is_that_of_the_tables(pair: Any) -> None:
    recipe = load(PAIRS + pair)
    light = recipe.get("student.use").startswith(("mobilenet", "shuffle"))
    assert recipe.get("optimizers.student") == {
        "use": "sgd", "lr": 0.01 if light else 0.05, "momentum": 0.9, "weight_decay": 5e-4, "nesterov": False,
    }  # fmt: skip
    assert recipe.get("schedules")["optimizers.student.lr"]["at"] == [150, 180, 210]
    assert (recipe.get("train.epochs"), recipe.get("train.batch_size"), recipe.get("task.validation")) == (240, 64, 0)


@pytest.mark.parametrize("pair", NAMES)
def test_a_pairs_rows_show_its_published_numbers(pair: Any, rows: Callable[..., Any]) -> None:
    found = numbers(pair)
    assert all(aim["metric"] == "top1" and 50 < aim["value"] < 80 for aim in found.values())
    assert {"student alone", "kd", "at", "crd", "dist"} <= set(found)
    assert set(found) == {name.partition("/")[2] for name in published() if name.startswith(f"{pair}/")} & set(rows(pair))
    assert [settings["reference"] for settings in rows(pair).values()] == [None] * len(rows(pair)), "a number stands once"


@pytest.mark.parametrize(
    ("pair", "row", "value"),
    [
        ("wrn_40_2_wrn_16_2", "student alone", 73.26),
        ("resnet110_resnet32", "rkd", 71.82),
        ("vgg13_vgg8", "fsp", 70.23),
        ("resnet50_mobilenet_v2", "at", 58.58),
        ("resnet32x4_shuffle_v2", "crd", 75.65),
        ("wrn_40_2_shuffle_v1", "kd", 74.83),
    ],
)
def test_the_numbers_stand_in_the_right_column(pair: str, row: str, value: float) -> None:
    assert numbers(pair)[row] == {"metric": "top1", "value": value, "source": TABLE}


@pytest.mark.parametrize("pair", NAMES)
def test_a_student_alone_has_one_number_whoever_would_teach_it(pair: Any, rows: Callable[..., Any]) -> None:
    twins = [other for other in NAMES if rows(other)["student alone"]["student"] == rows(pair)["student alone"]["student"]]
    assert len({numbers(other)["student alone"]["value"] for other in twins}) == 1


def test_a_pair_and_a_method_are_put_together_by_the_row_of_a_bench() -> None:
    bench = expand(PAIRS + "vgg13_mobilenet_v2", methods=["dkd"], seeds=[0])
    settings = {cell.label: cell.recipe.settings for cell in bench.cells}["dkd"]
    assert settings["student"]["use"] == "mobilenet_v2_half"
    assert settings["teachers"]["teacher"]["recipe"]["student"]["use"] == "vgg13"
    assert settings["optimizers"]["student"]["lr"] == 0.01
    assert settings["methods"]["dkd"]["beta"] == 6
    assert settings["schedules"]["methods.dkd.weights.dkd"]["until"] == 20
    assert published()[bench.published["dkd"]]["value"] == 69.71


def test_a_pair_and_a_method_are_put_together_on_the_command_line(rows: Callable[..., Any]) -> None:
    overrides = ["student=vgg8", f"teacher.recipe={TEACHERS}vgg13", "methods.dkd.beta=6"]
    by_hand = load(FOLDER + "dkd", overrides).settings
    assert plain(by_hand) == plain(rows("vgg13_vgg8")["dkd"])


def test_every_method_has_a_recipe_and_it_is_the_row_of_its_pair(rows: Callable[..., Any]) -> None:
    labels = {label for pair in NAMES for label in rows(pair)} - {"student alone"}
    for label in sorted(labels):
        pair = USUAL if label in rows(USUAL) else EXAMPLES
        assert plain(load(FOLDER + label).settings) == plain(rows(pair)[label]), label


def test_a_teacher_may_be_a_file_instead() -> None:
    overrides = ["~teacher.recipe", "teacher.model=resnet32x4", "teacher.checkpoint=${paths.teachers}/resnet32x4.pth"]
    teacher = load(FOLDER + "kd", [*overrides, "paths.teachers=/models"]).get("teachers.teacher")
    assert (teacher["model"]["use"], teacher["checkpoint"]) == ("resnet32x4", "/models/resnet32x4.pth")


@pytest.mark.slow
@pytest.mark.parametrize("pair", NAMES)
def test_every_method_of_a_pair_fits_its_networks(pair: Any, cells: Any, miniature: Callable[..., Any]) -> None:
    for cell in cells(PAIRS + pair):
        run = assemble(miniature(cell.recipe).settings)
        plan = StagePlan.of(run, 1, {})
        for stage in range(len(plan.stages)):
            with plan.entered(run, stage):
                assert run.total(run.step(first_window(run)[0])).isfinite(), cell.label
