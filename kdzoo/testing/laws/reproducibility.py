"""Laws of reproducibility: one seed, one trajectory, killed or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdzoo.engine.assemble import assemble
from kdzoo.engine.attributes import Attributes
from kdzoo.protocol.method import overrides
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.laws.helpers import assert_equal, assert_resumes, same_tree, state_of, train_run
from kdzoo.testing.tiny import first_window


class ReproducibilityLaws(Laws):
    """A run is a function of its recipe and seed."""

    # 3
    def test_one_seed_gives_one_trajectory_and_the_samples_of_every_other_method(self) -> None:
        first, run = self.trajectory(), assemble(self.make().settings)
        kept = Attributes({**run.methods, **run.teachers})
        second = train_run(run)
        assert not kept.lost(), f"{', '.join(kept.lost())} is decided while the method runs, and in no checkpoint"
        assert first[0] == second[0], "two runs at one seed gave different losses"
        assert_equal(first[1], second[1], "two runs at one seed gave different weights")
        run, plain = assemble(self.make().settings), assemble(self.plain().settings)
        assert_equal(
            state_of(plain.learners), state_of({n: run.learners[n] for n in plain.learners}), "the student starts elsewhere"
        )
        if not overrides(run.methods[self.method], "prepare") and not run.needs.splits:
            ours, theirs = first_window(run)[0], first_window(plain)[0]
            assert same_tree(ours.inputs, theirs.inputs), "the method changes which samples are seen"

    # 4
    @pytest.mark.parametrize("records", [2, 5])
    def test_a_killed_run_resumes_bit_for_bit(self, records: int, tmp_path: Path) -> None:
        assert_resumes(self.make, tmp_path, records)
