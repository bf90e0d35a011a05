"""Whole runs: both tasks learn, best epochs are kept, teachers teach, open worlds open."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kdzoo.engine.launch import launch
from kdzoo.errors import CapabilityError
from kdzoo.recipe.load import load

DAN = {"use": "dan", "width": 16, "decoder": "distmult", "decoder_dropout": 0.0, "dropout": 0.0}


def run(
    tmp_path: Path,
    student: Any,
    methods: tuple[str] = ("hard_label",),
    *,
    task: Any = None,
    epochs: int = 30,
    batch_size: int = 18,
    **sections: Any,
) -> Any:
    base = {
        "task": {"use": "link_prediction", "data": "blocks", **(task or {})},
        "student": student,
        "methods": methods if isinstance(methods, dict) else {name: {} for name in methods},
        "optimizers": {"student": {"use": "adam", "lr": 0.02}},
        "train": {"epochs": epochs, "batch_size": batch_size, "evaluate_every": 5},
        "runtime": {"device": "cpu", "out": str(tmp_path)},
    }
    return launch(load({**base, **sections}))


def test_a_run_learns_to_predict_links_and_keeps_its_best_epoch(tmp_path: Path) -> None:
    result = run(tmp_path, DAN)
    test = result.values["test"]
    assert test["last"]["mrr"] > 0.8, "guessing among twelve gives 0.26"
    assert result.values["metric"] == "mrr"
    assert {"mrr", "mr", "hits1", "hits10", "mrr_optimistic", "mrr_pessimistic"} <= test["best"].keys()
    assert result.values["data"]["entities"] == 12
    with np.load(result.folder / "predictions.npz") as kept:
        assert kept["last.ranks"].shape == (10,)
        assert np.reciprocal(kept["last.ranks"]).mean() == pytest.approx(test["last"]["mrr"])


def test_a_student_learns_from_a_larger_graph_model(tmp_path: Path) -> None:
    teacher = {
        "student": {**DAN, "width": 24},
        "task": {"use": "link_prediction", "data": "blocks"},
        "methods": {"hard_label": {}},
    }
    teacher |= {"optimizers": {"student": {"use": "adam", "lr": 0.02}}, "train": {"epochs": 20, "batch_size": 18}}
    methods = {
        "hard_label": {},
        "kd": {"temperature": 1.0},
        "dist": {"temperature": 1.0},
        "rkd": {"weights": {"distance": 1, "angle": 1}},
    }
    result = run(tmp_path, {**DAN, "width": 6}, methods, teacher={"use": "frozen", "recipe": teacher}, epochs=20)
    assert result.values["test"]["last"]["mrr"] > 0.8
    assert result.values["teachers"]["teacher"]["parameters"] > result.values["parameters"]["student"]


def test_an_open_world_run_ranks_answers_of_entities_that_training_never_saw(tmp_path: Path) -> None:
    own = {"hard_label": {}, "auto_distill": {"negatives": "full", "weights": {"auto_distill": 0.1}}}
    student = {**DAN, "readout": "layers"}
    result = run(tmp_path, student, own, task={"open_world": 0.25}, teacher={"use": "self_table"})
    assert result.values["data"]["unseen"] >= 3
    assert result.values["test"]["last"]["mrr"] > 0.6, "guessing among the nine others gives 0.31"


def test_alignment_learns(tmp_path: Path) -> None:
    student = {"use": "dan", "width": 16, "combine": "add", "hops": 2, "readout": "input_and_layers", "dropout": 0.0}
    task = {"use": "entity_alignment", "data": "copies", "validation": 0.0, "negatives": 4}
    methods = {"hard_label": {}, "auto_distill": {"negatives": "full", "weights": {"auto_distill": 0.1}}}
    result = run(tmp_path, student, methods, task=task, batch_size=5, teacher={"use": "self_table"})
    lines = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [line["terms"]["hard_label.hard_label"] for line in lines if line["event"] == "step"]
    assert losses[-1] < 0.5 * losses[0]
    assert {"hits1", "csls_hits1"} <= result.values["test"]["last"].keys()


def test_a_graph_model_for_images_is_refused_in_words() -> None:
    from kdzoo.engine.assemble import assemble

    settings = load(
        {"task": {"use": "image_classification", "data": "digits"}, "student": "dan", "methods": {"hard_label": {}}}
    ).settings
    with pytest.raises(
        CapabilityError, match="student: model 'dan' needs entities, relations, but this task tells models only classes"
    ):
        assemble(settings)
