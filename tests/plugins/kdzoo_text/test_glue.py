"""GLUE from files in its own layout, and the recipes on them from end to end, with tiny models in folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kdzoo_text.data.glue import FILES, GLUE
from kdzoo_text.models.registered import bert
from text_cases import ENDS, make_tokenizer, questions

from kdzoo.engine.launch import launch
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.recipe.load import load

HEADERS = {
    "SST-2": "sentence label",
    "MRPC": "Quality,#1 ID,#2 ID,#1 String,#2 String",
    "QQP": "id qid1 qid2 question1 question2 is_duplicate",
    "STS-B": "index genre filename year old_index source1 source2 sentence1 sentence2 score",
    "MNLI": "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse "
    "sentence1 sentence2 label1 gold_label",
    "QNLI": "index question sentence label",
    "RTE": "index sentence1 sentence2 label",
    "WNLI": "index sentence1 sentence2 label",
}
LABELS = {"MNLI": ("neutral", "entailment", "contradiction"), "RTE": ("entailment", "not_entailment")}
LABELS["QNLI"] = LABELS["RTE"]
METRICS = {"cola": "mcc", "mrpc": "f1", "qqp": "f1", "stsb": "pearson"}


def lines(folder: str) -> Iterator[str]:
    """A table of 90 samples, whose labels follow from the questions."""
    header = HEADERS.get(folder, "")
    columns = header.split(",") if "," in header else header.split()
    if columns:
        yield "\t".join(columns)
    for place, (text, _, name) in enumerate(questions()):
        number = ("person", "place", "number").index(name)
        names = LABELS.get(folder, ("0", "1"))
        label = str(number * 2.5) if folder == "STS-B" else names[number % len(names)]
        texts = iter((text, ENDS[place % len(ENDS)]))
        if not columns:
            yield "\t".join(["source", label, "", text])
            continue
        cells = []
        for column in columns:
            is_label = column in ("label", "score", "is_duplicate", "gold_label", "Quality")
            is_text = re.fullmatch(r"sentence[12]?|question[12]?|#[12] String", column)
            cells.append(label if is_label else next(texts) if is_text else str(place))
        yield "\t".join(cells)


@pytest.fixture(scope="session")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of GLUE's folders, and beside them a pretrained model with its tokenizer."""
    root = tmp_path_factory.mktemp("glue")
    for folder, dev in {(files.folder, files.dev) for files in FILES.values()}:
        (root / folder).mkdir(exist_ok=True)
        start = "\ufeff" if folder == "MRPC" else ""  # as its makers wrote it
        (root / folder / "train.tsv").write_text(start + "\n".join(lines(folder)) + "\n")
        (root / folder / dev).write_text("\n".join([*lines(folder)][: 40 if "mis" in dev else 30]) + "\n")
    made: Any = bert(vocabulary=60, pad=0, classes=2, layers=12, width=12, heads=12, intermediate=12, positions=128)
    made.save_pretrained(str(root / "bert"))
    make_tokenizer(root / "bert")
    return root


def settings(glue: Path, name: str, out: Path) -> list[str]:
    """What makes the recipes small, and reads the folders."""
    return [
        f"task.data={{use: glue, name: {name}, folder: '{glue}'}}",
        f"task.tokenizer={glue / 'bert'}",
        f"task.metric={METRICS.get(name, 'accuracy')}",
        "task.max_length=32",
        "train.epochs=1",
        "train.batch_size=30",
        f"runtime.out={out}",
        "runtime.device=cpu",
    ]


def model(glue: Path, path: str) -> list[str]:
    return [f"{path}={{use: hf, name: '{glue / 'bert'}', head: fresh}}"]


@pytest.mark.parametrize("name", FILES)
def test_every_task_trains_on_its_files(name: str, glue: Path, tmp_path: Path) -> None:
    result = launch(load("glue/ce", [*settings(glue, name, tmp_path), *model(glue, "student")]))
    found = result.values["test"]["last"]
    wanted = {"pearson", "spearman", "rmse"} if name == "stsb" else {"accuracy", "f1", "mcc", "nll", "ece"}
    assert found.keys() >= wanted
    assert result.metric == found[METRICS.get(name, "accuracy")]
    assert result.values["data"]["sizes"]["test"] == {"cola": 30, "mnli_mismatched": 39}.get(name, 29)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("kd", "mnli"),
        ("kd", "mnli_mismatched"),
        ("patient_kd", "qqp"),
        ("minilm_v2", "cola"),
        ("metadistil", "rte"),
        ("metadistil_released", "mrpc"),
        ("prokt", "qnli"),
        ("prokt_released", "wnli"),
        ("lgtm", "sst2"),
        ("kd", "stsb"),
    ],
)
def test_every_recipe_runs_with_its_teacher(recipe: str, name: str, glue: Path, tmp_path: Path) -> None:
    own = settings(glue, name, tmp_path)
    own += [f"student.teacher={glue / 'bert'}"] if recipe == "patient_kd" else model(glue, "student")
    inner = "teacher.model" if recipe in ("prokt_released", "lgtm") else "teacher.recipe.student"
    own += model(glue, inner)
    if inner == "teacher.recipe.student":
        own += ["teacher.recipe.train.epochs=1"]
    if name == "stsb":
        own += ["~methods.kd", "methods.logit_mse={}"]
    if recipe == "patient_kd":
        own += ["teacher.recipe.student.head=auto"]
    result = launch(load(f"glue/{recipe}", own))
    (teacher,) = result.values["teachers"].values()
    assert METRICS.get(name, "accuracy") in result.values["test"]["last"]
    assert teacher["test"].keys() == result.values["test"]["last"].keys()


def test_a_score_has_no_distribution_to_compare(glue: Path, tmp_path: Path) -> None:
    own = [*settings(glue, "stsb", tmp_path), *model(glue, "student"), "teacher.recipe=null", *model(glue, "teacher.model")]
    with pytest.raises(CapabilityError, match=r"methods\.kd compares distributions, but this task predicts numbers"):
        launch(load("glue/kd", own))


def test_lines_that_are_cut_off_or_empty_are_left_out_and_counted(glue: Path, tmp_path: Path) -> None:
    folder = tmp_path / "QQP"
    folder.mkdir()
    good = (glue / "QQP" / "train.tsv").read_text()
    (folder / "train.tsv").write_text(good + "91\t1\t2\twho is\n92\t1\t2\twho is\t \t0\n")
    (folder / "dev.tsv").write_text(good)
    found = GLUE(name="qqp", folder=str(tmp_path)).load()
    assert len(found.train) == 90
    assert found.remarks == ("glue, qqp, train: 2 of 92 lines are damaged and left out.",)


def test_another_header_is_refused(glue: Path, tmp_path: Path) -> None:
    (tmp_path / "RTE").mkdir()
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / "RTE" / name).write_text((glue / "QNLI" / "train.tsv").read_text())
    with pytest.raises(RecipeError, match=r"line 2 has no column 'sentence1'; did you mean 'sentence'"):
        GLUE(name="rte", folder=str(tmp_path)).load()
