"""Laws of terms: pure, weighed, behind their transforms, and following schedules."""

from __future__ import annotations

import pytest
import torch

from kdzoo import registry
from kdzoo.engine.components import make
from kdzoo.errors import RecipeError
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.laws.helpers import STATISTICS, Shift, assert_equal, hidden_labels, state_of
from kdzoo.testing.tiny import first_window, tiny_recipe, tiny_run


class TermLaws(Laws):
    """A term is a pure function of its step and of the method's hyper-parameters."""

    # 1
    def test_a_term_evaluated_twice_gives_equal_numbers(self) -> None:
        for run in self.stages():
            step = run.step(first_window(run)[0])
            before = state_of(run.methods)
            first = self.terms(run, step)
            assert first == self.terms(run, step), "a term gave two values on one step; take randomness from step.generator"
            assert_equal(before, state_of(run.methods), "evaluating a term on cloned buffers changed the method's state")
            run.total(step)
            assert_equal(before, state_of(run.methods), "a term moved more than running statistics", ignore=STATISTICS)

    # 2
    def test_the_total_is_the_weighted_sum_and_weights_touch_only_their_own_term(self) -> None:
        for run in self.stages():
            step = run.step(first_window(run)[0])
            values = self.terms(run, step)
            weights = {f"{label}.{name}": w for label, own in run.weights_now.items() for name, w in own.items() if w}
            total = run.total(step, commit=False).item()
            assert total == pytest.approx(sum(weights[name] * values[name] for name in weights), rel=1e-5, abs=1e-7)
            for name in weights:
                label, term = name.split(".")
                without = {
                    k: {n: 0.0 if (k, n) == (label, term) else w for n, w in v.items()} for k, v in run.weights_now.items()
                }
                rest = self.terms(run, step, without)
                assert name not in rest, f"term {name} is evaluated although its weight is 0"
                assert rest == {n: v for n, v in values.items() if n != name}, f"the weight of {name} changes another term"

    # 15
    def test_a_label_that_was_taken_away_teaches_nothing(self) -> None:
        """Half of the rows lose their label (`label_weight` 0): what it was changes no term."""
        for run in self.stages():
            found = []
            for shift in (0, 1):
                with hidden_labels(run, shift), run.streams.applied(run.device, "law"):
                    found.append(self.terms(run, run.step(first_window(run)[0])))
            assert found[0] == found[1], (
                "a term reads the labels of rows that have none: weigh it by rows.weight_of_labels, and average it "
                'over="labels"'
            )

    # 9
    def test_a_transform_reaches_its_method_and_no_other(self) -> None:
        """A method that looks at logits sees the transformed ones; hard labels next to it do not.

        Transforms of one that reads no rows (`Needs.rows`) are refused.
        """
        registry.register("transforms", "kdzoo_testing_shift", Shift)
        with tiny_run(self.make()) as run:
            step, needs = run.step(first_window(run)[0]), run.own_needs[self.method]
            values = self.terms(run, step)
            compared = needs.aligned or not needs.teacher
            assert compared or not self.uses_logits(run, step), "the method reads logits, so Needs.aligned must be True"
            reads = needs.reads_rows and bool(run.methods[self.method].kdzoo_terms)
            assert reads or not self.reads_rows(run, step), "the method reads logits, so Needs.rows must not be False"
        own = {**self.settings, "logits": ["kdzoo_testing_shift"]}
        if not reads:
            with pytest.raises(RecipeError, match="read by nobody"):
                make(tiny_recipe(self.method, own, recipe=self.recipe).settings)
            return
        with tiny_run(tiny_recipe(self.method, own, recipe=self.recipe)) as run:
            step = run.step(first_window(run)[0])
            shifted = self.terms(run, step)
            if self.method != "hard_label":
                assert shifted["hard_label.hard_label"] == values["hard_label.hard_label"]
            method = run.methods[self.method]
            read = run.view(step, method)
            seen, _ = method._transformed(read)
            assert torch.equal(seen.student.rows.logits, Shift()(None, inner=read.student.rows.logits))
            if self.uses_logits(run, step):
                mine = [name for name in values if name.startswith(f"{self.method}.")]
                assert any(shifted[n] != values[n] for n in mine), "the method reads logits past its transforms"

    # 10
    def test_a_constant_schedule_equals_constructing_with_that_value(self) -> None:
        for name, value in self.floats():
            schedules = {f"methods.{self.method}.{name}": {"use": "constant", "value": value}}
            built = self.losses(tiny_recipe(self.method, {**self.settings, name: value}, recipe=self.recipe))
            bound = self.losses(self.make(schedules=schedules))
            assert bound == built, f"{name} is captured at construction: a schedule on it has no effect (or another one)"
