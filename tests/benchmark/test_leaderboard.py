import json
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.records import read_records
from kdzoo.errors import RecipeError

VALUES = {"alone": {0: 80.0, 1: 82.0}, "kd": {0: 90.0, 1: 92.0}, "dkd": {0: 91.5, 1: 92.5}}


def board(folder: Path) -> Any:
    return leaderboard(read_records(folder))


def row(folder: Path, label: Any) -> Any:
    return next(row for row in board(folder).rows if row.label == label)


def test_rows_stand_in_the_order_of_their_means(made: Any) -> None:
    assert [row.label for row in board(made(VALUES)).rows] == ["teacher", "dkd", "kd", "alone"]


def test_where_less_is_better_the_order_turns(made: Any) -> None:
    assert [row.label for row in board(made(VALUES, higher=False, teacher=0.5)).rows] == ["teacher", "alone", "kd", "dkd"]


def test_differences_are_paired_by_seed(made: Any) -> None:
    found = row(made(VALUES), "dkd").difference
    assert (found.n, found.mean) == (2, 1.0)
    assert row(made(VALUES), "kd").difference is None


def test_best_on_validation_is_a_column_of_its_own(made: Any) -> None:
    found = row(made(VALUES), "kd")
    assert (found.last.mean, found.best.mean) == (91.0, 90.0)


def test_failed_cells_are_counted_and_their_sentence_kept(made: Any) -> None:
    folder = made({**VALUES, "dkd": {0: 91.5, 1: "a loss is no longer a number"}})
    found = row(folder, "dkd")
    assert (found.expected, found.last.n, found.failed) == (2, 1, 1)
    assert board(folder).failures == {"dkd, seed 1": "a loss is no longer a number"}


def test_a_row_without_results_is_last_and_not_dropped(made: Any) -> None:
    folder = made({**VALUES, "broken": {0: "no", 1: "no"}, "late": {0: None, 1: None}})
    assert [row.label for row in board(folder).rows][-2:] == ["broken", "late"]
    assert row(folder, "late").failed == 0


def test_one_teacher_in_many_cells_is_one_row_with_one_value(made: Any) -> None:
    found = row(made(VALUES), "teacher")
    assert (found.kind, found.last.n, found.last.mean, found.parameters) == ("teacher", 1, 99.0, 900)


def move_teacher(folder: Any, row: str) -> None:
    for seed, value in ((0, 97.0), (1, 95.0)):
        path = folder / "cells" / row / f"seed{seed}" / "result.json"
        own = json.loads(path.read_text())
        own["teachers"]["teacher"]["test"]["score"] = value
        path.write_text(json.dumps(own))


def test_a_teacher_that_rows_moved_has_a_row_for_each(made: Any) -> None:
    folder = made(VALUES)
    move_teacher(folder, "dkd")
    found = {r.label: r for r in board(folder).rows if r.kind == "teacher"}
    assert {label: (r.last.mean, r.of) for label, r in found.items()} == {
        "teacher of kd": (99.0, "kd"),
        "teacher of dkd": (96.0, "dkd"),
    }


def test_a_row_that_moved_the_teacher_takes_neither_its_line_nor_the_gaps_from_the_others(made: Any) -> None:
    expected = row(made(VALUES), "kd").gap.value
    folder = made({**VALUES, "dist": {0: 91.0, 1: 92.0}})
    move_teacher(folder, "dkd")
    found = {r.label: (r.last.mean, r.of) for r in board(folder).rows if r.kind == "teacher"}
    assert found == {"teacher": (99.0, None), "teacher of dkd": (96.0, "dkd")}
    assert row(folder, "kd").gap.value == expected
    assert row(folder, "dist").gap is not None
    assert row(folder, "dkd").gap is None


def test_a_result_of_other_settings_does_not_count(made: Any) -> None:
    folder = made(VALUES)
    plan = (folder / "plan.json").read_text().replace('"identity": "kd0"', '"identity": "kd-of-now"')
    (folder / "plan.json").write_text(plan)
    assert row(folder, "kd").last.n == 1


def test_unequal_budgets_are_said(made: Any) -> None:
    said = board(made(VALUES, budgets={"dkd": {"train.epochs": 9}})).warnings
    assert said == ["The rows differ in train.epochs: 3 for most, 9 for dkd."]


def test_what_a_grid_varies_is_no_inequality(made: Any) -> None:
    folder = made(VALUES, budgets={"dkd": {"train.epochs": 9}})
    plan = (folder / "plan.json").read_text().replace('"point": {}', '"point": {"train.epochs": 9}')
    (folder / "plan.json").write_text(plan)
    assert board(folder).warnings == []


def test_unequal_training_sets_are_said(made: Any) -> None:
    said = board(made(VALUES, sizes={"dkd": 50})).warnings
    assert said == ["The rows differ in training samples: 60 for most, 50 for dkd."]


def test_epochs_of_earlier_stages_are_said(made: Any) -> None:
    folder = made(VALUES)
    with (folder / "cells/dkd/seed0/metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "stage": "hint", "epoch": 4}\n{"event": "step", "stage": "main", "epoch": 9}\n')
    assert board(folder).warnings == ["The rows differ in epochs before the main stage: 0 for most, 5 for dkd."]


def test_equal_rows_need_no_warning(made: Any) -> None:
    assert board(made(VALUES)).warnings == []


def test_the_recipes_notes_are_kept(made: Any) -> None:
    assert board(made(VALUES, notes=["Mind the gap."])).notes == ["Mind the gap."]


def test_a_folder_that_is_no_bench_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is not the folder of a bench: it has no plan\.json"):
        read_records(tmp_path)


def test_a_plan_of_another_format_is_refused(made: Any) -> None:
    folder = made(VALUES)
    (folder / "plan.json").write_text((folder / "plan.json").read_text().replace('"format": 2', '"format": 99'))
    with pytest.raises(RecipeError, match="has format 99, this kdzoo reads 2"):
        read_records(folder)


def test_the_published_number_is_read_from_the_table_if_the_plan_names_one(made: Any) -> None:
    folder = made(VALUES, published={"kd": {"metric": "score", "value": 1.0, "source": "the recipe"}})
    plan = json.loads((folder / "plan.json").read_text())
    for line in plan["rows"]:
        line["published"] = {"dkd": "resnet56_resnet20/dkd"}.get(line["row"])
    (folder / "plan.json").write_text(json.dumps(plan))
    assert row(folder, "dkd").published == {"metric": "top1", "value": 71.97, "source": "mdistiller README, best epoch"}
    assert row(folder, "kd").published["source"] == "the recipe"


def test_a_result_of_another_format_is_a_failure_with_a_sentence_and_stays(made: Any) -> None:
    folder = made(VALUES)
    path = folder / "cells" / "kd" / "seed0" / "result.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 7'))
    written = path.read_text()
    assert "its result has format 7, this kdzoo reads 1" in board(folder).failures["kd, seed 0"]
    assert path.read_text() == written


def test_results_of_another_protocol_version_are_said(made: Any) -> None:
    folder = made(VALUES)
    for row, version in (("kd", "1"), ("alone", "1"), ("dkd", "2")):
        for seed in (0, 1):
            path = folder / "cells" / row / f"seed{seed}" / "result.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "protocol": version}))
    assert board(folder).warnings == ["The rows differ in the plugin protocol's version: 1 for most, 2 for dkd."]


def test_what_all_rows_share_at_each_point_of_a_grid_is_no_inequality(made: Any) -> None:
    folder = made({f"{row} {size}": own for size in (50, 100) for row, own in VALUES.items()}, baseline="kd", alone="alone")
    plan = json.loads((folder / "plan.json").read_text())
    for row in plan["rows"]:
        row["label"], _, size = row["row"].partition(" ")
        row["point"] = {"task.train_size": int(size)}
        for seed in (0, 1):
            path = folder / "cells" / row["row"] / f"seed{seed}" / "result.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "data": {"sizes": {"train": int(size)}}}))
    (folder / "plan.json").write_text(json.dumps(plan))
    assert board(folder).warnings == []
    unequal = folder / "cells" / "dkd 50" / "seed0" / "result.json"
    unequal.write_text(unequal.read_text().replace('"train": 50', '"train": 49'))
    assert board(folder).warnings == ["The rows differ in training samples: 50 for most, 49 for dkd 50."]


def test_the_gap_is_paired_and_has_an_interval(made: Any) -> None:
    found = row(made(VALUES), "kd").gap
    assert found is not None
    assert found.value == pytest.approx(10 / 18)
    assert found.interval is not None
    assert found.interval[0] < 10 / 18 < found.interval[1]


def test_a_notebook_shows_the_page(made: Any) -> None:
    from kdzoo.benchmark import write_report

    written = write_report(made(VALUES))
    shown = written._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "&lt;!doctype html&gt;" in shown
    (written.folder / "report.html").unlink()
    assert written._repr_html_().startswith("<pre># made")
