"""Every law of the method protocol on both tasks: labels, distillation between graph models, and the auto-distiller."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from kdzoo.testing import DataContract, MethodContract, TaskContract, TeacherContract

STUDENT = {"use": "dan", "width": 4, "dropout": 0.0, "decoder_dropout": 0.0, "decoder": "distmult"}
TEACHER = {"use": "frozen", "model": {"use": "gcn", "width": 6, "decoder": "distmult"}}
TRAIN = {"epochs": 2, "batch_size": 12}
LINKS = {"task": {"use": "link_prediction", "data": "blocks"}, "student": STUDENT, "train": TRAIN}
PAIRS = {
    "task": {"use": "entity_alignment", "data": "copies", "validation": 0.2, "negatives": 2},
    "student": {**STUDENT, "combine": "add", "layers": 3, "hops": 2, "layer_norm": True, "readout": "input_and_layers"},
    "train": {"epochs": 2, "batch_size": 2},
}
OWN = {"use": "self_table"}


class _Links(MethodContract):
    method = "hard_label"
    recipe: ClassVar[Any] = LINKS


class TestLabelsOnLinks(_Links):
    recipe: ClassVar = {**LINKS, "student": {**STUDENT, "dropout": 0.3, "decoder_dropout": 0.3}}


class TestLabelsAgainstSampledEntities(_Links):
    recipe: ClassVar = {**LINKS, "task": {**LINKS["task"], "negatives": 5}}


class TestKDOnLinks(_Links):
    method = "kd"
    recipe: ClassVar = {**LINKS, "teacher": TEACHER}


class TestDISTOnLinks(_Links):
    method = "dist"
    recipe: ClassVar = {**LINKS, "teacher": TEACHER}


class TestRKDOnLinks(_Links):
    method = "rkd"
    recipe: ClassVar = {**LINKS, "teacher": TEACHER}


class TestAutoDistillOnLinks(_Links):
    method = "auto_distill"
    settings: ClassVar = {"count": 4}
    recipe: ClassVar = {**LINKS, "teacher": OWN}
    reads_back = True  # draws until enough different entities came up


class TestAutoDistillAgainstAllOnLinks(_Links):
    method = "auto_distill"
    settings: ClassVar = {"negatives": "full", "head": "unit"}
    recipe: ClassVar = {**LINKS, "teacher": {**OWN, "momentum": 0.9}}


class TestAutoDistillInBatchOnLinks(_Links):
    method = "auto_distill"
    settings: ClassVar = {"negatives": "in_batch"}
    recipe: ClassVar = {**LINKS, "teacher": OWN}


class TestInfoNCEOnLinks(_Links):
    method = "auto_distill_infonce"
    settings: ClassVar = {"count": 4}
    reads_back = True  # draws until enough different entities came up


class TestL2OnLinks(_Links):
    method = "auto_distill_l2"


class TestLabelsOnPairs(_Links):
    recipe: ClassVar = PAIRS


class TestKDOnPairs(_Links):
    method = "kd"
    settings: ClassVar = {"temperature": 0.1}
    recipe: ClassVar = {**PAIRS, "teacher": TEACHER}


class TestRKDOnPairs(_Links):
    method = "rkd"
    recipe: ClassVar = {**PAIRS, "teacher": TEACHER}


class TestAutoDistillOnPairs(_Links):
    method = "auto_distill"
    settings: ClassVar = {"count": 4, "sampler": "uniform"}
    recipe: ClassVar = {**PAIRS, "teacher": OWN}


class TestLinkPrediction(TaskContract):
    task: ClassVar[Any] = LINKS["task"]
    student: ClassVar[Any] = STUDENT


class TestEntityAlignment(TaskContract):
    task: ClassVar[Any] = PAIRS["task"]
    student: ClassVar[Any] = PAIRS["student"]
    batch_size = 2


class TestSelfTable(TeacherContract):
    teacher = "self_table"
    settings: ClassVar[Any] = {}
    method = "auto_distill"
    method_settings: ClassVar[Any] = {"count": 4}
    recipe: ClassVar[Any] = LINKS


class TestTriples(DataContract):
    data = "triples"

    @pytest.fixture(autouse=True)
    def written(self, tmp_path: Path) -> None:
        folder = tmp_path / "facts"
        folder.mkdir()
        facts = [f"{a}\tknows\t{b}\n" for a in "abcd" for b in "abcd" if a != b]
        for part, some in (("train", facts[:8]), ("valid", facts[8:10]), ("test", facts[10:])):
            (folder / f"{part}.txt").write_text("".join(some))
        type(self).settings = {"folder": str(folder)}


class TestDBP15K(DataContract):
    data = "dbp15k"

    @pytest.fixture(autouse=True)
    def written(self, tmp_path: Path) -> None:
        folder = tmp_path / "dbp15k" / "zh_en" / "0_3"
        folder.mkdir(parents=True)
        rows = {
            "triples_1": [(n, 0, (n + 1) % 6) for n in range(6)],
            "triples_2": [(6 + n, 1, 6 + (n + 1) % 6) for n in range(6)],
            "sup_pairs": [(n, n + 6) for n in range(3)],
            "ref_pairs": [(n, n + 6) for n in range(3, 6)],
        }
        for name, lines in rows.items():
            (folder / name).write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
        type(self).settings = {"folder": str(tmp_path / "dbp15k")}
