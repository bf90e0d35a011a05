"""Metrics before and after inference, on answers made by hand."""

from __future__ import annotations

import pytest
import torch
from kdzoo_knowledge.declaration.knowledge import Knowledge, is_a
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.inference.most_probable import MostProbable
from kdzoo_knowledge.tasks.concepts import chance_of
from kdzoo_knowledge.tasks.heads import NO_LABEL
from kdzoo_knowledge.tasks.meter import ConceptMeter

from kdzoo.protocol.outputs import Batch, Output, Rows

FINE, COARSE = Head("fine", ("boot", "shoe", "bag")), Head("coarse", ("footwear", "other"))
RULES = [is_a(FINE.boot, COARSE.footwear), is_a(FINE.shoe, COARSE.footwear), is_a(FINE.bag, COARSE.other)]


def measured(fine: list[list[float]], coarse: list[list[float]], target: list[int]) -> dict[str, float]:
    theory = Knowledge.of(FINE, COARSE, rules=RULES).theories["sample"]
    meter = ConceptMeter({"fine": FINE, "coarse": COARSE}, "fine", theory, MostProbable(theory))
    labels = torch.tensor(target)
    rows = {"fine": Rows(torch.tensor(fine), labels), "coarse": Rows(torch.tensor(coarse), (labels == 2).long())}
    meter.update(Output(rows["fine"], heads=dict(rows)), Batch(torch.zeros(len(fine), 1), len(fine), labels))
    return meter.result()


def test_rules_and_accuracy_are_counted_before_and_after_inference() -> None:
    # Right twice; a boot that is "other", which inference makes a bag, its second guess; a boot taken for a bag all over.
    fine = [[9.0, 0, 0], [0, 0, 9.0], [2.0, 0, 1.9], [0, 0, 9.0]]
    found = measured(fine, [[9.0, 0], [0, 9.0], [0, 3.0], [0, 9.0]], [0, 2, 2, 0])
    assert found["accuracy"] == found["fine.accuracy"] == 50
    assert found["coarse.accuracy"] == 75
    assert found["violations"] == found["violations.fine.boot is_a coarse.footwear"] == 25
    assert found["violations.fine.bag is_a coarse.other"] == 0
    assert found["kept.fine.boot is_a coarse.footwear"] == 50
    assert found["kept.fine.bag is_a coarse.other"] == 100
    assert found["inferred.accuracy"] == 75
    assert found["inferred.violations"] == 0
    assert found["inferred.fallbacks"] == 0
    assert found["inferred.seconds"] >= 0


def test_a_premise_that_never_applies_has_no_share_that_keeps_it() -> None:
    found = measured([[9.0, 0, 0]], [[9.0, 0]], [0])
    assert "kept.fine.shoe is_a coarse.footwear" not in found
    assert found["kept.fine.boot is_a coarse.footwear"] == pytest.approx(100)


def test_labels_that_no_class_covers_count_neither_in_accuracy_nor_in_chance_and_leave_no_score() -> None:
    meter, target = ConceptMeter({"coarse": COARSE}, "coarse", None), torch.tensor([0, NO_LABEL, 1, 1])
    rows = Rows(torch.tensor([[9.0, 0], [9.0, 0], [0, 9.0], [9.0, 0]]), target)
    meter.update(Output(rows, heads={"coarse": rows}), Batch(torch.zeros(4, 1), 4, target))
    assert meter.result()["accuracy"] == pytest.approx(200 / 3)
    assert "score" not in meter.arrays()
    assert chance_of(torch.tensor([0, NO_LABEL, 1]), torch.tensor([0, 1, 2, 2])) == pytest.approx(200 / 3)
