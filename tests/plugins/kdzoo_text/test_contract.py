"""Every law of the method protocol on texts: labels, logit methods, features, teachers that move, and matching of layers."""

from __future__ import annotations

from typing import Any, ClassVar

from text_cases import DISTILLED, STUDENT, TASK, TEXT

from kdzoo.testing import DataContract, MethodContract, TaskContract


class _Text(MethodContract):
    method = "hard_label"
    recipe: ClassVar[Any] = DISTILLED


class TestLabels(_Text):
    recipe: ClassVar[Any] = {**TEXT, "student": {**STUDENT, "dropout": 0.1}}


class TestKDOnPairs(_Text):
    method = "kd"
    recipe: ClassVar[Any] = {**DISTILLED, "task": {**TASK, "data": {"use": "tiny_texts", "pairs": True}}}


class TestPatientKD(_Text):
    method = "patient_kd"
    settings: ClassVar[Any] = {"projection": "linear"}


class TestTinyBERT(_Text):
    method = "tinybert"
    settings: ClassVar[Any] = {"intermediate_epochs": 1}


class TestMiniLM(_Text):
    method = "minilm"


class TestText(TaskContract):
    task: ClassVar[Any] = TASK
    other: ClassVar[Any] = {**TASK, "max_length": 8}
    student: ClassVar[Any] = {**STUDENT, "dropout": 0.0}


class TestScores(TaskContract):
    task: ClassVar[Any] = {**TASK, "data": {"use": "tiny_texts", "scores": True}, "metric": "pearson", "validation": 0.2}
    student: ClassVar[Any] = {**STUDENT, "dropout": 0.0}


class TestTinyTexts(DataContract):
    data = "tiny_texts"
