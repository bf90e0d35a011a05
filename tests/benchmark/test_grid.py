import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.plan.bench_plan import make_plan
from kdzoo.benchmark.plan.grid import expand
from kdzoo.benchmark.plan.section import Section
from kdzoo.benchmark.plan.slug import slug
from kdzoo.benchmark.report.published import TABLE, published
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.recipe.find import builtin_folder
from kdzoo.recipe.schema import schema_of


def cell(grid: Any, label: Any, seed: int = 0) -> Any:
    return next(cell for cell in grid.cells if cell.label == label and cell.seed == seed)


def test_cells_are_rows_by_seeds_with_whole_seeds_first(tiny: Any) -> None:
    grid = expand(tiny)
    assert [(c.seed, c.row) for c in grid.cells] == [(s, row) for s in (0, 1) for row in ("student alone", "kd", "dist")]
    assert [c.recipe.settings["seed"] for c in grid.cells] == [0, 0, 0, 1, 1, 1]


def test_a_row_without_changes_is_the_recipe(tiny: Any) -> None:
    assert cell(expand(tiny), "kd").recipe.settings["methods"]["kd"]["temperature"] == 2.0


def test_a_rows_methods_replace_the_recipes(tiny: Any) -> None:
    tiny["bench"]["methods"]["kd only"] = {"methods": {"kd": {"weights": {"kd": 2.0}}}}
    methods = cell(expand(tiny), "kd only").recipe.settings["methods"]
    assert list(methods) == ["kd"]
    assert (methods["kd"]["temperature"], methods["kd"]["weights"]) == (4.0, {"kd": 2.0})


def test_other_sections_of_a_row_are_merged(tiny: Any) -> None:
    tiny["bench"]["methods"]["long"] = {"train": {"epochs": 7}}
    train = cell(expand(tiny), "long").recipe.settings["train"]
    assert (train["epochs"], train["batch_size"]) == (7, 30)


def test_a_published_number_is_not_that_of_a_row_that_changes_something(tiny: Any) -> None:
    tiny["reference"] = {"metric": "top1", "value": 90.0, "source": "a table"}
    tiny["bench"]["methods"]["own"] = {"train": {"epochs": 7}, "reference": {"metric": "top1", "value": 91.0, "source": "it"}}
    grid = expand(tiny)
    found = {label: cell(grid, label).recipe.settings["reference"] for label in ("kd", "dist", "own")}
    assert [None if number is None else number["value"] for number in found.values()] == [90.0, None, 91.0]


def test_rows_do_not_change_each_other(tiny: Any) -> None:
    tiny["bench"]["methods"] = {"long": {"train": {"epochs": 7}}, **tiny["bench"]["methods"]}
    assert cell(expand(tiny), "kd").recipe.settings["train"]["epochs"] == 1


def test_a_row_whose_teacher_stands_still_has_no_optimizer_for_it_unless_it_says_one(tiny: Any) -> None:
    model = {"use": "tiny_cnn", "widths": [4, 8]}
    tiny["teacher"] = {"use": "trainable", "model": model, "recipe": None}
    tiny["optimizers"] = {"teacher": {"use": "sgd"}}
    tiny["schedules"] = {"optimizers.teacher.lr": {"use": "cosine"}}
    tiny["bench"]["methods"] = {"kd": {}, "still": {"teacher": {"use": "frozen", "model": model}}}
    grid = expand(tiny)
    found = {row: cell(grid, row).recipe.settings for row in ("kd", "still")}
    assert {row: (set(own["optimizers"]), set(own["schedules"])) for row, own in found.items()} == {
        "kd": ({"student", "teacher"}, {"optimizers.teacher.lr"}),
        "still": ({"student"}, set()),
    }
    tiny["bench"]["methods"]["still"]["optimizers"] = {"teacher": {"lr": 0.1}}
    with pytest.raises(RecipeError, match=r"optimizers\.teacher is read by nobody"):
        expand(tiny)


def test_schedules_of_replaced_methods_go_with_them(tiny: Any) -> None:
    tiny["schedules"] = {"methods.kd.temperature": {"use": "linear", "end": 1.0}, "optimizers.student.lr": {"use": "cosine"}}
    grid = expand(tiny)
    assert set(cell(grid, "kd").recipe.settings["schedules"]) == {"methods.kd.temperature", "optimizers.student.lr"}
    assert set(cell(grid, "dist").recipe.settings["schedules"]) == {"optimizers.student.lr"}


def test_the_student_alone_is_added_without_teacher(tiny: Any) -> None:
    grid = expand(tiny)
    settings = cell(grid, "student alone").recipe.settings
    assert grid.alone == "student alone"
    assert list(settings["methods"]) == ["hard_label"]
    assert settings["teachers"] == {}


def test_a_row_that_is_the_student_alone_is_recognized(tiny: Any) -> None:
    tiny["bench"]["methods"]["plain"] = {"teacher": None, "methods": {"labels": {"use": "hard_label"}}}
    grid = expand(tiny)
    assert grid.alone == "plain"
    assert {c.label for c in grid.cells} == {"kd", "dist", "plain"}


def test_label_smoothing_is_not_the_student_alone(tiny: Any) -> None:
    tiny["bench"]["methods"]["smooth"] = {"teacher": None, "methods": {"hard_label": {"targets": ["smooth"]}}}
    assert expand(tiny).alone == "student alone"


def test_the_name_student_alone_may_not_lie(tiny: Any) -> None:
    tiny["bench"]["methods"]["student alone"] = {}
    with pytest.raises(RecipeError, match=r"bench\.methods\.student alone must be hard_label without a teacher"):
        expand(tiny)


def test_a_grid_makes_rows_of_its_own(tiny: Any) -> None:
    tiny["bench"]["grid"] = {"train.epochs": [1, 2], "methods.kd.temperature": [1, 4]}
    tiny["bench"]["methods"] = {"kd": {}}
    tiny["bench"]["seeds"] = [5]
    sentence = (
        r"bench\.methods\.student alone: there is no methods\.kd\.temperature, for it has no methods\.kd; .* a row of its own"
    )
    with pytest.raises(RecipeError, match=sentence):
        expand(tiny)
    del tiny["bench"]["grid"]["methods.kd.temperature"]
    grid = expand(tiny)
    assert [c.row for c in grid.cells if c.label == "kd"] == ["kd, epochs=1", "kd, epochs=2"]
    assert [c.recipe.settings["train"]["epochs"] for c in grid.cells if c.label == "kd"] == [1, 2]
    assert len({c.folder for c in grid.cells}) == len(grid.cells)


def test_a_grid_over_a_setting_that_does_not_exist_is_told_with_the_nearest(tiny: Any) -> None:
    tiny["bench"]["grid"] = {"train.epoch": [1, 2]}
    with pytest.raises(RecipeError, match=r"train\.epoch is no setting of train .*did you mean 'epochs'"):
        expand(tiny)


def test_a_typo_in_a_row_fails_with_its_path_and_the_nearest_name(tiny: Any) -> None:
    tiny["bench"]["methods"]["dist"]["methods"]["dist"] = {"temprature": 3}
    with pytest.raises(RecipeError, match=r"^bench\.methods\.dist: methods\.dist\.temprature .*did you mean 'temperature'"):
        expand(tiny)


def test_a_value_out_of_range_fails_before_training(tiny: Any) -> None:
    tiny["bench"]["methods"]["dist"]["methods"]["dist"] = {"temperature": -1}
    with pytest.raises(RecipeError, match=r"^bench\.methods\.dist: .*temperature must be > 0, got -1"):
        expand(tiny)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"teacher": {"model": "linear"}}, r"teachers\.teacher\.recipe brings the model and its weights: remove model and"),
        ({"teacher": {"recipe": None}}, r"teachers\.teacher: a model is missing: give one"),
        ({"optimizers": {"student": {"use": "dot", "lr": -1.0}}}, r"optimizers\.student\.lr must be at least 0, got -1"),
        (
            {"schedules": {"optimizers.student.lr": {"use": "cosine", "after": 5, "until": 5}}},
            r"schedules\.optimizers\.student\.lr\.after must be >= 0 and until above it",
        ),
    ],
)
def test_whatever_a_row_gets_wrong_is_found_before_training(tiny: Any, row: Any, sentence: str) -> None:
    tiny["bench"]["methods"]["own"] = row
    with pytest.raises(RecipeError, match=rf"bench\.methods\.own: {sentence}"):
        expand(tiny)


def test_a_method_without_its_teacher_fails_before_training(tiny: Any) -> None:
    tiny["bench"]["methods"]["dist"]["teacher"] = None
    sentence = r"^bench\.methods\.dist: methods\.dist learns from a teacher, but the recipe names none; add e\.g\."
    with pytest.raises(CapabilityError, match=sentence):
        expand(tiny)


def test_a_typo_in_the_section_names_the_nearest_setting(tiny: Any) -> None:
    tiny["bench"]["seed"] = [1]
    with pytest.raises(RecipeError, match=r"bench\.seed is no setting of bench.*did you mean 'seeds'"):
        expand(tiny)


def test_an_unknown_baseline_names_the_nearest_row(tiny: Any) -> None:
    tiny["bench"]["baseline"] = "dits"
    with pytest.raises(RecipeError, match=r"bench\.baseline: there is no row 'dits'; did you mean 'dist'"):
        expand(tiny)


def test_without_a_baseline_rows_are_compared_with_the_student_alone(tiny: Any) -> None:
    del tiny["bench"]["baseline"]
    assert expand(tiny).baseline == "student alone"


def test_chosen_rows_come_with_the_baseline_and_the_student_alone(tiny: Any) -> None:
    tiny["bench"]["methods"]["nkd"] = {"methods": {"hard_label": {}, "nkd": {}}}
    assert {c.label for c in expand(tiny, methods=["dist"]).cells} == {"dist", "kd", "student alone"}
    with pytest.raises(RecipeError, match="the chosen rows: there is no row 'nkdd'; did you mean 'nkd'"):
        expand(tiny, methods=["nkdd"])


def test_seeds_can_be_given_instead(tiny: Any) -> None:
    assert {c.seed for c in expand(tiny, seeds=[7, 8, 9]).cells} == {7, 8, 9}


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_are_named_once_each(tiny: Any, seeds: list[Any] | list[int]) -> None:
    with pytest.raises(RecipeError, match=r"bench\.seeds must name at least one seed, and each of them once"):
        expand(tiny, seeds=seeds)


def test_a_row_that_costs_more_may_take_fewer_of_the_seeds(tiny: Any) -> None:
    tiny["bench"]["methods"]["dist"] = tiny["bench"]["methods"]["dist"] | {"seeds": 1}
    seen = {(c.label, c.seed) for c in expand(tiny, seeds=[5, 3, 4]).cells if c.label != "student alone"}
    assert seen == {("kd", 5), ("kd", 3), ("kd", 4), ("dist", 5)}


@pytest.mark.parametrize("seeds", [0, True, [0, 1]])
def test_a_rows_own_seeds_are_a_number(tiny: Any, seeds: bool | int | list[int]) -> None:
    tiny["bench"]["methods"]["kd"] = {"seeds": seeds}
    with pytest.raises(RecipeError, match=r"methods\.kd\.seeds says how many of the bench's seeds the row takes"):
        expand(tiny)


@pytest.mark.parametrize("key", schema_of(Section).fields)
@pytest.mark.parametrize("reference", ["${nothing}", "${oc.env:HOME}", "${bench.${x}}"])
def test_a_reference_to_nothing_is_told_wherever_the_bench_has_it(key: str, reference: str, tiny: Any) -> None:
    tiny["bench"][key] = reference
    with pytest.raises(RecipeError, match=rf"bench\.{key} refers to \$\{{.*from the given mapping"):
        expand(tiny)


def test_a_bench_may_refer_to_the_recipe(tiny: Any) -> None:
    tiny |= {"description": "kd"}
    tiny["bench"] |= {"baseline": "${description}", "declared": ["${bench.baseline}"], "resolve": "${train.epochs}"}
    grid = expand(tiny)
    assert (grid.baseline, grid.declared, grid.resolve) == ("kd", ["kd"], tiny["train"]["epochs"])


def test_rows_that_would_share_a_folder_are_refused(tiny: Any) -> None:
    tiny["bench"]["methods"] |= {"a b": {}, "a_b": {}}
    with pytest.raises(RecipeError, match="'a b' and 'a_b' would share a folder"):
        expand(tiny)


def test_a_comma_in_a_rows_label_is_refused(tiny: Any) -> None:
    tiny["bench"]["methods"] |= {"kd, hot": {}}
    with pytest.raises(RecipeError, match=r"bench\.methods\.kd, hot: a label has no comma, as `--methods A,B`"):
        expand(tiny)


def test_a_recipe_without_bench_is_refused_with_what_it_lacks(tiny: Any) -> None:
    del tiny["bench"]
    with pytest.raises(RecipeError, match=r"is no bench recipe: it lacks `bench\.methods`"):
        expand(tiny)


def test_overrides_reach_every_cell(tiny: Any) -> None:
    assert {c.recipe.settings["train"]["epochs"] for c in expand(tiny, ["train.epochs=3"]).cells} == {3}


def test_folder_names_hold_no_separators() -> None:
    assert slug("kd + T=4/../x") == "kd_+_T_4_.._x"
    assert slug("...") == "row"


def test_the_quickstart_compares_at_least_six_methods_with_a_teacher_of_its_own() -> None:
    grid = expand("quickstart")
    methods = {name for c in grid.cells for name in c.recipe.settings["methods"]}
    assert len(methods - {"hard_label"}) >= 6
    assert grid.command == "kdzoo bench quickstart"
    assert cell(grid, "kd").recipe.settings["teachers"]["teacher"]["recipe"]["name"] == "teacher"


# -- rows that are recipes ---------------------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Any]:
    """`write(name, recipe)`: a recipe file, and its path."""

    def make(name: str, recipe: dict[str, Any]) -> str:
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(recipe))
        return str(path)

    return make


@pytest.fixture
def base(write: Callable[..., Any]) -> Any:
    """A task and a pair that are not the bench's."""
    pair = {"student": {"use": "tiny_cnn", "widths": [4, 8]}, "teacher": {"use": "virtual"}}
    return write("base", {"task": {"use": "image_classification", "data": "mnist"}, **pair, "train": {"epochs": 99}})


def row(tiny: Any, spec: Any, label: str = "own") -> Any:
    tiny["bench"]["methods"][label] = spec
    return cell(expand(tiny, methods=[label]), label).recipe.settings


def test_a_row_may_be_a_recipe_over_the_benchs_own_task_pair_and_budget(
    tiny: Any, write: Callable[..., Any], base: Any
) -> None:
    warmup = {"methods.dkd.weights.dkd": {"use": "warmup", "until": 2}}
    method = {"methods": {"hard_label": {}, "dkd": {"beta": 3}}, "schedules": warmup}
    file = write("dkd", {"extends": base, "seed": 8, "train": {"epochs": 50}, "runtime": {"threads": 7}, **method})
    found, kd = row(tiny, {"recipe": file}), cell(expand(tiny), "kd").recipe.settings
    assert (list(found["methods"]), found["methods"]["dkd"]["beta"]) == (["hard_label", "dkd"], 3)
    assert found["schedules"]["methods.dkd.weights.dkd"]["until"] == 2
    same = ("task", "student", "teachers", "train", "runtime", "seed", "optimizers", "name")
    assert {key: found[key] for key in same} == {key: kd[key] for key in same}


def test_a_row_takes_what_its_recipe_changes_for_the_method(tiny: Any, write: Callable[..., Any], base: Any) -> None:
    changes = {"task": {"flip": True}, "optimizers": {"student": {"lr": 0.5}}, "teacher": {"use": "ema"}}
    file = write("mean", {"extends": base, "methods": {"hard_label": {}, "mean_teacher": {}}, **changes})
    found = row(tiny, {"recipe": file})
    assert (found["task"]["flip"], found["task"]["data"]["use"]) == (True, "digits")
    assert found["optimizers"]["student"]["lr"] == 0.5
    assert found["teachers"]["teacher"]["use"] == "ema"


def test_a_row_takes_only_the_methods_of_a_recipe_that_extends_nothing(tiny: Any, write: Callable[..., Any]) -> None:
    pair = {"student": {"use": "tiny_cnn", "widths": [4, 8]}, "teacher": {"use": "virtual"}}
    file = write("whole", {**pair, "methods": {"kd": {"temperature": 7}}, "optimizers": {"student": {"lr": 0.5}}})
    found, kd = row(tiny, {"recipe": file}), cell(expand(tiny), "kd").recipe.settings
    assert found["methods"]["kd"]["temperature"] == 7
    assert all(found[key] == kd[key] for key in ("student", "teachers", "optimizers"))


def test_a_row_of_a_recipe_without_teacher_has_none(tiny: Any, write: Callable[..., Any]) -> None:
    file = write("smooth", {"student": "linear", "methods": {"hard_label": {"targets": ["smooth"]}}})
    assert row(tiny, {"recipe": file})["teachers"] == {}


def test_further_keys_of_a_row_override_its_recipe(tiny: Any, write: Callable[..., Any], base: Any) -> None:
    file = write("dkd", {"extends": base, "methods": {"hard_label": {}, "dkd": {"beta": 3, "temperature": 2}}})
    found = row(tiny, {"recipe": file, "methods": {"dkd": {"beta": 6, "temperature": None}}, "train": {"epochs": 2}})
    dkd = found["methods"]["dkd"]
    assert (list(found["methods"]), dkd["beta"], dkd["temperature"]) == (["hard_label", "dkd"], 6, 4)
    assert (found["train"]["epochs"], found["train"]["batch_size"]) == (2, 30)


def test_the_methods_of_a_row_that_is_a_recipe_replace_the_benchs_with_their_schedules(
    tiny: Any, write: Callable[..., Any]
) -> None:
    tiny["schedules"] = {"methods.kd.temperature": {"use": "linear", "end": 1.0}}
    file = write("kd", {"student": "linear", "teacher": {"use": "virtual"}, "methods": {"kd": {}}})
    assert row(tiny, {"recipe": file})["schedules"] == {}


def test_the_path_of_a_rows_recipe_is_relative_to_the_file_that_says_so(
    tiny: Any, write: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "inner").mkdir()
    write("inner/hot", {"student": "linear", "teacher": {"use": "virtual"}, "methods": {"kd": {"temperature": 9}}})
    tiny["bench"]["methods"]["hot"] = {"recipe": "hot.yaml"}
    grid = expand(write("inner/bench", tiny))
    assert cell(grid, "hot").recipe.settings["methods"]["kd"]["temperature"] == 9


def test_a_built_in_recipe_is_a_row_by_its_name(tiny: Any) -> None:
    found = row(tiny, {"recipe": "cifar100/dkd"})
    assert (found["methods"]["dkd"]["beta"], found["task"]["data"]["use"]) == (8, "digits")
    assert found["schedules"]["methods.dkd.weights.dkd"]["use"] == "warmup"


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("cifar100/dkdd", r"There is no recipe 'cifar100/dkdd', neither as a file nor as a name; did you mean 'cifar100/dkd'"),
        ("bench/quickstart", r"recipe: bench/quickstart is a bench itself; a row is one method: name a recipe without `bench`"),
        ("_base/digits", r"recipe: _base/digits has no methods for the row to take; name a recipe with `methods`"),
        (["cifar100/dkd"], r"recipe must be the name or path of one recipe, got \['cifar100/dkd'\]"),
    ],
)
def test_what_cannot_be_a_rows_recipe_is_refused_in_a_sentence(tiny: Any, recipe: list[str] | str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=rf"^bench\.methods\.own: {sentence}"):
        row(tiny, {"recipe": recipe})


# -- published numbers -------------------------------------------------------------------------------------------------


def test_a_row_shows_the_number_of_the_table_for_its_pair_and_label(tiny: Any) -> None:
    tiny["bench"] |= {"published": "resnet56_resnet20"}
    tiny["bench"]["methods"]["no such method"] = {"train": {"epochs": 2}}
    assert expand(tiny).published == {label: f"resnet56_resnet20/{label}" for label in ("student alone", "kd", "dist")}


def test_a_pair_of_the_bench_may_be_one_of_the_table(tiny: Any) -> None:
    tiny["bench"] |= {
        "pairs": {"a": {"published": "resnet56_resnet20"}, "b": {"train": {"epochs": 2}}},
        "published": "vgg13_vgg8",
    }
    found = expand(tiny).published
    assert (found["kd, a"], found["kd, b"]) == ("resnet56_resnet20/kd", "vgg13_vgg8/kd")


def test_a_row_may_name_its_number_itself(tiny: Any) -> None:
    tiny["bench"]["methods"]["longer"] = {"train": {"epochs": 2}, "published": "resnet56_resnet20/kd"}
    grid = expand(tiny)
    assert grid.published == {"longer": "resnet56_resnet20/kd"}
    assert "published" not in cell(grid, "longer").recipe.settings


@pytest.mark.parametrize(
    ("change", "who"),
    [
        ({"methods": {"kd again": {}}}, "kd, seed 0 and kd again, seed 0"),
        ({"methods": {"two": {"seeds": 1}}}, "kd, seed 0 and two, seed 0"),
        ({"grid": {"train.epochs": [1, 1]}}, "student alone, epochs=1, seed 0 and student alone, epochs=1, seed 0"),
        ({"grid": {"runtime.threads": [1, 2]}}, "student alone, threads=1, seed 0 and student alone, threads=2, seed 0"),
    ],
)
def test_cells_with_the_same_settings_are_told_without_their_data(change: Any, who: str, tiny: Any) -> None:
    tiny["bench"] |= change | {"methods": tiny["bench"]["methods"] | change.get("methods", {})}
    with pytest.raises(RecipeError, match=rf"{who} are the same run: .* Remove one of the rows"):
        expand(tiny)


@pytest.mark.parametrize(
    "override",
    ["bench.resolve=0", "bench.seeds=[0,0]", "bench.cohort=0", "bench.grid={student: 3}", "bench.methods.kd.seeds=0"],
)
def test_what_is_wrong_with_a_section_is_said_to_be_where_it_was_written(override: str, tiny: Any) -> None:
    path = override.partition("=")[0]
    with pytest.raises(RecipeError, match=rf"^{re.escape(path)}.* \(from override {re.escape(override)}\)\.$"):
        expand(tiny, [override])


def test_a_number_that_the_table_lacks_is_refused(tiny: Any) -> None:
    tiny["bench"]["methods"]["own"] = {"published": "resnet56_resnet20/kdd"}
    with pytest.raises(RecipeError, match=r"^bench\.methods\.own\.published: published\.csv has no number .*did you mean"):
        expand(tiny)
    tiny["bench"] = {**tiny["bench"], "methods": {"kd": {}}, "published": "resnet56_resnet21"}
    with pytest.raises(RecipeError, match=r"^bench\.published: published\.csv has no pair .*did you mean 'resnet56_resnet20'"):
        expand(tiny)


def test_the_table_has_one_number_a_pair_and_method_with_its_source() -> None:
    with (builtin_folder() / TABLE).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len({(line["pair"], line["method"]) for line in lines}) == len(lines) == len(published())
    assert all(line["source"] and line["metric"] and float(line["value"]) > 0 for line in lines)
    assert published()["resnet56_resnet20/dkd"]["source"] == "mdistiller README, best epoch"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"methods": {"a": {"seed": 3}}}, "bench.methods.a.seed is the bench's own: write bench.seeds"),
        ({"methods": {"a": {"bench": {"seeds": [1]}}}}, "bench.methods.a.bench is the bench's own"),
        ({"methods": {"a": {"teachr": None}}}, "bench.methods.a.teachr is no setting of a recipe, so null removes nothing"),
        ({"methods": {"a": {}}, "grid": {"seed": [1, 2]}}, "bench.grid.seed is the bench's own: write bench.seeds"),
        ({"methods": {"a": {}}, "grid": {"bench.seeds": [[1]]}}, "bench.grid.bench.seeds is the bench's own"),
        ({"methods": {"": {}}}, "bench.methods has an entry without a label"),
        ({"methods": {"a": {}}, "pairs": {"": {}}}, "bench.pairs has an entry without a label"),
        ({"methods": {"a": {}}, "pairs": {"p": 3}}, "bench.pairs.p must be a mapping of what it changes, got 3"),
        ({"methods": {"a": {}}, "pairs": {"p": {"seed": 3}}}, "bench.pairs.p.seed is the bench's own: write bench.seeds"),
        ({"methods": {"a": {}}, "pairs": {"p": {"teachr": None}}}, "bench.pairs.p.teachr is no setting of a recipe"),
        (
            {"methods": {"a": {}}, "pairs": {"p": {"methods": {}}}},
            "bench.pairs.p.methods is a row's: write it in bench.methods",
        ),
        ({"methods": {"a": {}}, "pairs": {"p": {"student": "linaer"}}}, "bench.methods.student alone with pairs.p: student "),
    ],
)
def test_what_would_change_nothing_in_a_cell_is_refused(tiny: Any, section: dict[str, Any], message: str) -> None:
    tiny["bench"] = section
    with pytest.raises(RecipeError) as error:
        expand(tiny)
    assert message in str(error.value)


# -- pairs ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paired(tiny: Any) -> Any:
    """Two students of one teacher; the first pair is the recipe as it is."""
    tiny["bench"]["pairs"] = {"small": {}, "large": {"student": {"use": "mlp", "hidden": [7]}, "train": {"epochs": 2}}}
    return tiny


def test_every_row_is_trained_with_every_pair_and_seed(paired: Any) -> None:
    cells = expand(paired).cells
    assert len({cell.folder for cell in cells}) == len(cells) == 3 * 2 * 2
    assert {cell.row for cell in cells} == {
        f"{label}, {pair}" for label in ("student alone", "kd", "dist") for pair in ("small", "large")
    }
    found = {cell.point["pair"]: cell.recipe.settings for cell in cells if cell.label == "dist"}
    assert (found["small"]["student"]["use"], found["small"]["train"]["epochs"]) == ("linear", 1)
    assert (found["large"]["student"]["hidden"], found["large"]["train"]["epochs"]) == ([7], 2)
    assert set(found["large"]["methods"]) == {"hard_label", "dist"}


def test_a_pair_changes_nothing_that_it_does_not_say(paired: Any, tiny: Any) -> None:
    plain = {key: value for key, value in tiny.items() if key != "bench"}
    plain["bench"] = {key: value for key, value in tiny["bench"].items() if key != "pairs"}
    small = [cell.recipe.settings for cell in expand(paired).cells if cell.point["pair"] == "small"]
    assert small == [cell.recipe.settings for cell in expand(plain).cells]


def test_a_row_has_the_last_word_over_a_pair(paired: Any) -> None:
    paired["bench"]["methods"]["long"] = {"train": {"epochs": 5}}
    assert {cell.recipe.settings["train"]["epochs"] for cell in expand(paired).cells if cell.label == "long"} == {5}


def test_pairs_and_a_grid_make_points_together(paired: Any) -> None:
    paired["bench"]["grid"] = {"train.batch_size": [10, 20]}
    cells = expand(paired).cells
    assert len({cell.row for cell in cells}) == 3 * 2 * 2
    assert {"pair": "large", "train.batch_size": 20} in [dict(cell.point) for cell in cells]
    assert "kd, large, batch_size=20" in {cell.row for cell in cells}


def test_two_pairs_that_are_the_same_are_refused(paired: Any) -> None:
    paired["bench"]["pairs"]["again"] = {}
    with pytest.raises(RecipeError, match=r"student alone, small, seed 0 and student alone, again, seed 0 are the same run"):
        make_plan(paired, [])


def test_what_the_longer_student_makes_up_for_is_each_pairs_own(paired: Any) -> None:
    paired["train"]["epochs"] = 100
    paired["bench"] |= {"controls": ["student longer"], "seeds": [0]}
    paired["bench"]["pairs"]["large"] = {"student": {"use": "mlp", "hidden": [70]}}
    epochs = {
        cell.point["pair"]: cell.recipe.settings["train"]["epochs"]
        for cell in expand(paired).cells
        if cell.label == "student longer"
    }
    assert epochs["small"] > epochs["large"] > 100
