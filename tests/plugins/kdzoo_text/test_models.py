"""Transformers by folder, cut from a teacher, and the user's own; saved and loaded again; what each refuses."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from kdzoo_text.models.classifier import TextClassifier
from kdzoo_text.models.registered import bert, hf, student_from_teacher
from text_cases import DISTILLED, STUDENT, TASK, TEXT, TOKENIZER, TinyTexts, make_tokenizer
from torch import Tensor, nn

import kdzoo
from kdzoo.cli import main
from kdzoo.engine.launch import launch
from kdzoo.engine.run_identity import identify
from kdzoo.errors import CapabilityError, MissingError, RecipeError, WeakTeacherWarning
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

TOLD = {"vocabulary": 40, "pad": 0, "classes": 3}
IDS, MASK = torch.tensor([[2, 8, 9, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def saved(folder: Path, **settings: Any) -> Path:
    """A tiny BERT, as the transformers library saves it."""
    made = bert(**{**TOLD, "layers": 4, "width": 12, "heads": 2, "intermediate": 18, "positions": 16, **settings})
    assert isinstance(made, TextClassifier)
    made.save_pretrained(str(folder))
    return folder


def answer(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(IDS, MASK)
    return found


def test_a_saved_model_loads_with_its_classifier(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    made = bert(**TOLD, layers=2, width=12, heads=2)
    assert isinstance(made, TextClassifier)
    made.save_pretrained(str(tmp_path))
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert torch.equal(theirs(IDS, MASK).logits, answer(made))
    assert torch.equal(answer(hf(name=str(tmp_path), classes=3)), answer(made))


def test_a_fresh_head_is_new_and_the_encoder_is_not(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    old, new = hf(name=str(folder), classes=3), hf(name=str(folder), head="fresh", classes=3)
    same = {name for name, value in new.state_dict().items() if torch.equal(value, old.state_dict()[name])}
    assert set(old.state_dict()) - same == {"model.classifier.weight"}  # biases start at 0


def test_another_number_of_classes_is_refused_unless_the_head_is_fresh(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    with pytest.raises(RecipeError, match=r"does not have the 5 classes of these data .* head: fresh"):
        hf(name=str(folder), classes=5)
    assert answer(hf(name=str(folder), head="fresh", classes=5)).shape == (2, 5)


def test_a_student_takes_layers_of_its_teacher(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    teacher, student = hf(name=str(folder), classes=3), student_from_teacher(teacher=str(folder), layers=[2, 4], classes=3)
    assert isinstance(student, TextClassifier)
    assert student.layers == 2
    theirs, own = teacher.state_dict(), student.state_dict()
    for mine, other in ((0, 1), (1, 3)):
        key = "model.bert.encoder.layer.{}.attention.self.query.weight"
        assert torch.equal(own[key.format(mine)], theirs[key.format(other)])
    assert torch.equal(
        own["model.bert.embeddings.word_embeddings.weight"], theirs["model.bert.embeddings.word_embeddings.weight"]
    )


def test_all_layers_are_the_teacher_itself(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    whole = student_from_teacher(teacher=str(folder), layers=[1, 2, 3, 4], classes=3)
    assert torch.equal(answer(whole), answer(hf(name=str(folder), classes=3)))


def test_a_narrower_student_keeps_the_leading_units_of_each_head(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    narrow = student_from_teacher(teacher=str(folder), layers=[1], width=8, classes=3)
    key = "model.bert.encoder.layer.0.attention.self.query.weight"
    whole = hf(name=str(folder), classes=3).state_dict()[key]  # 2 heads of 6 rows
    assert torch.equal(narrow.state_dict()[key], whole[[0, 1, 2, 3, 6, 7, 8, 9]][:, :8])
    assert torch.isfinite(answer(narrow)).all()
    assert isinstance(narrow, TextClassifier)
    assert narrow.width == 8


@pytest.mark.parametrize(("settings", "words"), [({"layers": [3, 9]}, "teacher's 4"), ({"layers": [1], "width": 7}, "2 heads")])
def test_what_a_teacher_does_not_have_is_refused(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        student_from_teacher(teacher=str(saved(tmp_path)), classes=3, **settings)


def test_frozen_parameters_stay_and_a_glob_without_a_match_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    model = hf(name=str(folder), freeze=["*embeddings*"], classes=3)
    still = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert still == {name for name in dict(model.named_parameters()) if "embeddings" in name}
    with pytest.raises(RecipeError, match="no parameter matches 'embedings'"):
        hf(name=str(folder), freeze=["embedings"], classes=3)


def test_a_model_without_a_copy_is_missing_with_its_command() -> None:
    with pytest.raises(MissingError, match=r"'no/such-model' has no copy on this machine .* download: true"):
        hf(name="no/such-model", classes=3)


def test_a_packaged_model_names_the_command_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    with pytest.raises(MissingError, match="kdzoo data fetch text"):
        hf(name="all-MiniLM-L6-v2", classes=3)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"without config\.json"):
        hf(name=str(tmp_path), classes=3)


def test_the_identity_covers_the_content_of_a_model_folder(tmp_path: Path) -> None:
    student = {"use": "hf", "name": str(saved(tmp_path / "model"))}
    settings = tiny_recipe("hard_label", recipe={**TEXT, "student": student}).settings
    before = identify(settings)
    assert identify(settings) == before
    saved(tmp_path / "model")  # other weights under the same name
    assert identify(settings) != before


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
def test_models_and_data_of_the_library_run_from_python(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    def made(layers: int) -> nn.Module:
        config = BertConfig(
            vocab_size=60,
            hidden_size=8,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=12,
            num_labels=3,
            max_position_embeddings=16,
        )
        return BertForSequenceClassification(config)

    data = TinyTexts().load()
    rows = {
        part: [{"text": text, "label": int(label)} for text, label in zip(own.first, own.labels, strict=True)]
        for part, own in data.parts.items()
    }
    result = kdzoo.run(
        {
            "task": {"use": "text_classification", "tokenizer": TOKENIZER, "max_length": 16},
            "methods": {"kd": {}},
            "train": {"epochs": 1, "batch_size": 12},
        },
        student=made(1),
        teacher=made(2),
        data={"train": rows["train"], "test": rows["test"]},
        folder=tmp_path,
        progress=False,
    )
    assert result.values["parameters"]["deployed"] == sum(p.numel() for p in made(1).parameters())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"text": "who is it", "label": 0}], "data has rows without a test part; give"),
        ({"train": [{"text": "a", "label": 0}], "dev": [{"text": "a", "label": 0}]}, "data has parts 'train', 'dev'; give"),
    ],
)
def test_rows_without_a_test_are_refused(data: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        kdzoo.run({"student": "linear", "methods": {"hard_label": {}}}, data=data, progress=False)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Linear(2, 2), "must be one of the transformers library's"),
        ("wrong classes", "tells 2 classes apart, this task asks for 3"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(model: Any, words: str) -> None:
    if isinstance(model, str):
        from transformers import BertConfig, BertForSequenceClassification

        config = BertConfig(
            vocab_size=60, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=16
        )
        model = BertForSequenceClassification(config)
    recipe = {"task": TASK, "student": model, "methods": {"hard_label": {}}, "train": {"epochs": 1}}
    with pytest.raises(CapabilityError, match=words):
        kdzoo.run(recipe, progress=False)


SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 18,
}
LIBRARY = {
    "DistilBert": {},
    "Albert": {"embedding_size": 8},
    "Electra": {"embedding_size": 8},
    "Roberta": {"pad_token_id": 0},
    "GPT2": {"bos_token_id": 2, "eos_token_id": 3},
    "Llama": {"pad_token_id": None},
    "ModernBert": {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 2, "sep_token_id": 3},
}
"""Models of the library that differ from BERT in one way or another, with settings of their own."""


def of_library(kind: str, folder: Path) -> dict[str, Any]:
    """A tiny one, saved; the model `hf` that reads it."""
    import transformers

    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **LIBRARY[kind]}, num_labels=3)
    config.hidden_dim = SIZES["intermediate_size"]  # what DistilBERT calls it
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(folder)
    return {"use": "hf", "name": str(folder)}


def first_loss(method: str, recipe: dict[str, Any], settings: dict[str, Any] | None = None) -> Tensor:
    with tiny_run(tiny_recipe(method, settings, recipe={**TEXT, **recipe})) as run:
        return run.objective(first_window(run)[0])[0].detach()


@pytest.mark.parametrize("kind", LIBRARY)
def test_any_classifier_of_the_library_teaches_and_learns(kind: str, tmp_path: Path) -> None:
    model = of_library(kind, tmp_path)
    both = {"student": model, "teacher": {"use": "frozen", "model": model}, "methods": {"hard_label": {}}}
    assert torch.isfinite(first_loss("kd", both))
    assert torch.isfinite(first_loss("distilbert", both))


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "Electra"])
def test_layers_of_any_model_can_be_left_out(kind: str, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    of_library(kind, tmp_path / "teacher")
    student = student_from_teacher(teacher=str(tmp_path / "teacher"), layers=[2], classes=3)
    assert isinstance(student, TextClassifier)
    student.model.config.pad_token_id = 0
    student.save_pretrained(str(tmp_path / "student"))
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student").eval()
    assert torch.equal(again(input_ids=IDS, attention_mask=MASK).logits, answer(student))


def test_layers_that_are_unlike_each_other_are_kept_from_the_first_on(tmp_path: Path) -> None:
    of_library("ModernBert", tmp_path)
    assert answer(student_from_teacher(teacher=str(tmp_path), layers=[1], classes=3)).shape == (2, 3)
    with pytest.raises(CapabilityError, match=r"of layers \[2\] could not be loaded again, .*; begin with layer 1"):
        student_from_teacher(teacher=str(tmp_path), layers=[2], classes=3)


@pytest.mark.parametrize("kind", ["DistilBert", "Electra", "Roberta"])
def test_models_that_are_built_as_bert_can_be_narrower(kind: str, tmp_path: Path) -> None:
    of_library(kind, tmp_path)
    narrow = student_from_teacher(teacher=str(tmp_path), layers=[1], width=4, classes=3)
    assert isinstance(narrow, TextClassifier)
    assert narrow.width == 4
    assert torch.isfinite(answer(narrow)).all()


@pytest.mark.parametrize("kind", ["GPT2", "Llama", "ModernBert"])
def test_models_that_are_built_otherwise_cannot_be_narrower(kind: str, tmp_path: Path) -> None:
    of_library(kind, tmp_path)
    with pytest.raises(CapabilityError, match=r"cannot be made narrower: it is built otherwise than BERT; leave width out"):
        student_from_teacher(teacher=str(tmp_path), layers=[1], width=4, classes=3)


@pytest.mark.parametrize(
    ("kind", "method", "words"),
    [
        ("GPT2", "patient_kd", "compares first positions, but the student reads from left to right"),
        ("GPT2", "minilm", "the student has no 'query2': its attention is built otherwise"),
        ("Llama", "minilm", "the student has no 'attention2': its attention is built otherwise"),
        ("ModernBert", "minilm", "the student has no 'query2': its attention is built otherwise"),
        ("Albert", "mobilebert", "keeps no list of its 2 layers"),
    ],
)
def test_what_a_models_layers_do_not_have_is_not_compared(kind: str, method: str, words: str, tmp_path: Path) -> None:
    model = of_library(kind, tmp_path)
    with pytest.raises(CapabilityError, match=words):
        first_loss(method, {"student": model, "teacher": {"use": "frozen", "model": model}})


def test_texts_that_are_longer_than_the_positions_are_refused(tmp_path: Path) -> None:
    model = of_library("Roberta", tmp_path)  # keeps one of its 18 positions for padding
    assert torch.isfinite(first_loss("hard_label", {"student": model}))
    with pytest.raises(CapabilityError, match=r"takes 17 tokens, task\.max_length is 18; set it to 17"):
        first_loss("hard_label", {"student": model, "task": {**TASK, "max_length": 18}})


def test_two_tokenizers_meet_in_one_run(tmp_path: Path) -> None:
    other = str(make_tokenizer(tmp_path / "other", extra=5))
    teacher = {
        "use": "frozen",
        "model": {"use": "hf", "name": str(saved(tmp_path / "model", vocabulary=60)), "encoding": "other"},
    }
    recipe = {**DISTILLED, "task": {**TASK, "encodings": {"other": other}}, "teacher": teacher}
    with tiny_run(tiny_recipe("kd", recipe=recipe)) as run:
        batch = first_window(run)[0]
        assert {"input_ids", "other.input_ids"} <= set(batch.inputs)
        run.objective(batch)[0].backward()
    with pytest.raises(CapabilityError, match="have different tokenizers"), tiny_run(tiny_recipe("minilm", recipe=recipe)):
        pass


def test_an_encoding_that_the_task_does_not_have_is_refused(tmp_path: Path) -> None:
    student = {"use": "hf", "name": str(saved(tmp_path)), "encoding": "other"}
    with (
        pytest.raises(RecipeError, match="reads the encoding 'other'"),
        tiny_run(tiny_recipe("hard_label", recipe={**TEXT, "student": student})),
    ):
        pass


def test_a_teacher_with_other_class_names_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "place", "1": "person", "2": "number"}
    config["label2id"] = {"place": 0, "person": 1, "number": 2}
    (folder / "config.json").write_text(json.dumps(config))
    teacher = {"use": "frozen", "model": {"use": "hf", "name": str(folder)}}
    with (
        pytest.raises(CapabilityError, match="calls its classes place, person, number"),
        tiny_run(tiny_recipe("kd", recipe={**DISTILLED, "teacher": teacher})),
    ):
        pass


def renamed(folder: Path, names: list[str]) -> Path:
    """A tiny BERT whose configuration names its classes."""
    config = json.loads((saved(folder) / "config.json").read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    config["label2id"] = {name: number for number, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("head", ["auto", "fresh"])
def test_a_model_that_is_trained_here_calls_its_classes_as_the_data_do(head: str, tmp_path: Path) -> None:
    model = {"use": "hf", "name": str(renamed(tmp_path, ["neg", "neutral", "pos"])), "head": head}
    with tiny_run(tiny_recipe("hard_label", recipe={**TEXT, "student": model})) as run:
        assert run.student.model.config.id2label == {0: "number", 1: "person", 2: "place"}
    trained_here = {"use": "frozen", "recipe": {**TEXT, "student": model, "methods": {"hard_label": {}}}}
    with warnings.catch_warnings(action="ignore", category=WeakTeacherWarning):
        assert launch(tiny_recipe("kd", recipe={**DISTILLED, "teacher": trained_here}, out=tmp_path / "out")).folder.is_dir()


def test_a_new_classifier_has_no_old_names(tmp_path: Path) -> None:
    folder = renamed(tmp_path, ["place", "person", "number"])
    model = hf(name=str(folder), head="fresh", classes=3)
    assert model.model.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


def with_tokenizer(folder: Path) -> dict[str, Any]:
    """A model whose folder holds a tokenizer that numbers tokens otherwise than the task's."""
    saved(folder)
    make_tokenizer(folder, backwards=True)
    return {"use": "hf", "name": str(folder)}


def test_a_model_with_another_tokenizer_in_its_folder_is_refused(tmp_path: Path) -> None:
    model = with_tokenizer(tmp_path / "model")
    for recipe in ({**TEXT, "student": model}, {**DISTILLED, "teacher": {"use": "frozen", "model": model}}):
        with pytest.raises(CapabilityError, match="comes with a tokenizer that numbers tokens otherwise"):
            first_loss("hard_label" if "teacher" not in recipe else "kd", recipe)
    task = {**TASK, "encodings": {"other": model["name"]}}
    assert torch.isfinite(first_loss("hard_label", {**TEXT, "task": task, "student": {**model, "encoding": "other"}}))


def test_a_teacher_that_was_trained_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    other = str(make_tokenizer(tmp_path / "other", backwards=True))
    teacher = {"use": "frozen", "recipe": {**TEXT, "task": {**TASK, "tokenizer": other}, "methods": {"hard_label": {}}}}
    recipe = tiny_recipe("kd", recipe={**DISTILLED, "teacher": teacher}, out=tmp_path / "out")
    with pytest.raises(CapabilityError, match="was trained with a tokenizer that numbers tokens otherwise"):
        launch(recipe)


def test_a_decoder_pads_as_its_tokenizer_does(tmp_path: Path) -> None:
    model = of_library("GPT2", tmp_path)
    folder = Path(model["name"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": 1}))
    with tiny_run(tiny_recipe("hard_label", recipe={**TEXT, "student": model})) as run:
        assert run.student.model.config.pad_token_id == 0


def test_positions_that_count_from_another_padding_are_refused(tmp_path: Path) -> None:
    model = of_library("Roberta", tmp_path)
    folder = Path(model["name"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": config["pad_token_id"] + 1}))
    with pytest.raises(CapabilityError, match="counts positions from its token"):
        first_loss("hard_label", {"student": model, "task": {**TASK, "max_length": 12}})


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch", "onnx"])
@pytest.mark.parametrize(
    "case", ["as many positions as tokens", "more positions", "an encoding for the teacher", "an encoding of its own"]
)
def test_a_graph_takes_what_the_student_reads_at_any_length(
    case: str, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"encodings": {"other": str(make_tokenizer(tmp_path / "other", backwards=True))}} if "encoding" in case else {}
    student: dict[str, Any] = {**STUDENT, "dropout": 0.0, "positions": 64 if case == "more positions" else 16}
    if case == "an encoding of its own":
        student = {"use": "hf", "name": str(saved(tmp_path / "model", vocabulary=60)), "encoding": "other"}
    recipe = tiny_recipe("hard_label", recipe={**TEXT, "task": {**TASK, **other}, "student": student}, out=tmp_path)
    folder = launch(recipe).folder
    assert main(["export", str(folder), "--format", to, "--out", str(tmp_path / "graph")]) == 0
    capsys.readouterr()
    assert main(["eval", str(tmp_path / "graph"), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    said = json.loads((folder / "result.json").read_text())["test"]["last"]
    assert metrics["accuracy"] == said["accuracy"]
    assert metrics["nll"] == pytest.approx(said["nll"], abs=1e-5)


@pytest.mark.slow
def test_the_tokenizer_beside_an_exported_model_is_the_one_that_it_reads(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    other = make_tokenizer(tmp_path / "other", backwards=True)
    student = {"use": "hf", "name": str(saved(tmp_path / "model", vocabulary=60)), "encoding": "other"}
    task = {**TASK, "encodings": {"other": str(other)}}
    folder = launch(tiny_recipe("hard_label", recipe={**TEXT, "task": task, "student": student}, out=tmp_path)).folder
    assert main(["export", str(folder), "--format", "pretrained", "--out", str(tmp_path / "exported")]) == 0
    ours, theirs = (AutoTokenizer.from_pretrained(place) for place in (tmp_path / "exported", other))
    assert ours("who is rome")["input_ids"] == theirs("who is rome")["input_ids"]
    assert ours("who is rome")["input_ids"] != AutoTokenizer.from_pretrained(TOKENIZER)("who is rome")["input_ids"]


@pytest.mark.slow
def test_what_a_run_deploys_is_exported_for_its_library_and_as_a_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    recipe = tiny_recipe("hard_label", recipe={**TEXT, "student": {**STUDENT, "dropout": 0.0}}, out=tmp_path)
    folder = launch(recipe).folder
    assert main(["export", str(folder), "--format", "pretrained", "--out", str(tmp_path / "model")]) == 0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert model.config.id2label == {0: "number", 1: "person", 2: "place"}
    assert model(**tokenizer("who is rome", return_tensors="pt")).logits.shape == (1, 3)
    assert main(["export", str(folder), "--format", "onnx", "--out", str(tmp_path / "graph")]) == 0
    for exported in ("model", "graph"):
        capsys.readouterr()
        assert main(["eval", str(tmp_path / exported), "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out)
        said = json.loads((folder / "result.json").read_text())["test"]["last"]
        assert metrics["accuracy"] == said["accuracy"]
        assert metrics["nll"] == pytest.approx(said["nll"], abs=1e-5)
