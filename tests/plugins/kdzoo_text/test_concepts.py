"""Concepts of texts: the task `concepts` over this family's task, and the generated entity relations."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest
import torch
import yaml
from kdzoo_knowledge.declaration.section import KnowledgeSection, declared
from kdzoo_knowledge.declaration.vocabulary import SAMPLE
from kdzoo_knowledge.inference.most_probable import likeliest
from kdzoo_knowledge.tasks.heads import cut, targets_of
from kdzoo_text.data.entity_relations import KINDS, EntityRelations
from text_cases import STUDENT, TASK

from kdzoo.recipe.find import builtin_folder
from kdzoo.testing import DataContract, MethodContract, TaskContract, tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

MARKED = re.compile(r"[*#] (.+?) [*#]")
KNOWLEDGE: dict[str, Any] = {
    "heads": {"asked": "data", "form": {"name": ["person", "place"], "count": "num*"}},
    "is_a": [{"asked": "form"}],
}
CONCEPTS: dict[str, Any] = {"use": "concepts", "samples": TASK, "labeled": 30, "knowledge": KNOWLEDGE}
STILL: dict[str, Any] = {**STUDENT, "dropout": 0.0}


@pytest.mark.filterwarnings("ignore::kdzoo.errors.WeakTeacherWarning")
class TestConceptsOfTexts(TaskContract):
    task: ClassVar[Any] = CONCEPTS
    other: ClassVar[Any] = {**CONCEPTS, "samples": {**TASK, "max_length": 8}}
    student: ClassVar[Any] = STILL


class TestSemanticLossOfTexts(MethodContract):
    method = "semantic_loss"
    recipe: ClassVar[Any] = {"task": CONCEPTS, "student": STILL, "train": {"epochs": 2, "batch_size": 12}}


class TestEntityRelations(DataContract):
    data = "entity_relations"


def test_a_deployed_model_of_texts_keeps_the_rules_and_calls_its_logits_by_their_concepts() -> None:
    with tiny_run(tiny_recipe("constrained_inference", recipe={"task": CONCEPTS, "student": STILL})) as run, torch.no_grad():
        task: Any = run.task
        assert list(run.student.model.config.id2label.values()) == [  # type: ignore[union-attr]
            *("asked.number", "asked.person", "asked.place"),
            *("form.name", "form.count"),
        ]
        batch = first_window(run)[0]
        theory, heads = task.knowledge.theories[SAMPLE], list(task.knowledge.vocabulary.heads.values())
        with run.mode(training=False):
            parts = cut(run.deployed()(**batch.inputs), heads)
        decided = likeliest(theory, theory.log_literals({("", name): logits for name, logits in parts.items()}))
        assert theory.holds(decided).all()


def test_generated_relations_relate_what_they_are_between_and_no_name_of_the_test_is_in_training() -> None:
    found = EntityRelations(train=500, validation=100, test=100).load()
    for name in found.class_names:
        relation, subject, other = name.split()
        assert KINDS.get(relation, (subject, other)) == (subject, other)
    marked = {part: {name for text in texts.first for name in MARKED.findall(text)} for part, texts in found.parts.items()}
    assert marked["train"]
    assert not marked["test"] & marked["train"]
    assert EntityRelations(seed=1).load().fingerprint != EntityRelations().load().fingerprint


def test_every_label_of_the_generated_relations_keeps_the_rules_of_its_recipe() -> None:
    section = yaml.safe_load((builtin_folder() / "knowledge/entity_relations.yaml").read_text())["task"]["knowledge"]
    names = EntityRelations(train=500, validation=1, test=1).load().class_names
    found = declared(KnowledgeSection(**section), names)
    theory, heads = found.knowledge.theories[SAMPLE], found.knowledge.vocabulary.heads
    logits = {}
    for name, head in heads.items():
        table = targets_of(head, found.covered[name], len(names))
        assert table is not None
        assert (table >= 0).all()
        logits["", name] = 50.0 * torch.nn.functional.one_hot(table, len(head.classes))
    assert theory.holds(likeliest(theory, theory.log_literals(logits))).all()
