"""Laws of the models: what is declared is used, and models belong to the engine."""

from __future__ import annotations

import copy

import torch

from kdzoo.engine.assemble import assemble
from kdzoo.protocol.outputs import MAIN
from kdzoo.testing.laws.base import Laws
from kdzoo.testing.laws.helpers import assert_equal, state_of, train_run
from kdzoo.testing.tiny import first_window


class ModelLaws(Laws):
    """A method declares what it reads, changes no frozen teacher, keeps no model, and leaves one that stands alone."""

    # 5
    def test_needs_are_honest(self) -> None:
        """What was not declared is not there, and taking away what was declared is noticed."""
        for taken in self.declared():
            assert any(self.notices(run, taken) for run in self.stages()), f"the method declares {taken} but does not use it"

    # 6
    def test_a_frozen_teacher_is_untouched(self) -> None:
        run = assemble(self.make().settings)
        frozen = {name: teacher for name, teacher in run.teachers.items() if teacher.frozen}
        before = state_of(frozen)
        train_run(run)
        assert_equal(before, state_of(frozen), "training changed a frozen teacher")
        assert not any(module.training for teacher in frozen.values() for module in teacher.modules())
        assert not any(p.requires_grad or p.grad is not None for teacher in frozen.values() for p in teacher.parameters())

    # 7
    def test_what_is_deployed_stands_alone(self) -> None:
        run = assemble(self.make().settings)
        train_run(run)
        task, batch = run.task, first_window(run)[0]
        module = run.deployed().eval()
        expected = task.forward(module, batch, MAIN).rows.logits.detach()
        alone = copy.deepcopy(module)
        del run, module
        assert torch.equal(task.forward(alone, batch, MAIN).rows.logits, expected)
        alone.requires_grad_(True).zero_grad()
        task.forward(alone, batch, MAIN).rows.logits.logsumexp(1).sum().backward()
        unused = [name for name, p in alone.named_parameters() if p.grad is None]
        assert not unused, f"the deployed module holds what inference does not use: {', '.join(unused)}"

    # 8
    def test_the_method_captures_no_model(self) -> None:
        run = assemble(self.make().settings)
        models = {id(p) for m in [*run.learners.values(), *run.teachers.values()] for p in m.parameters()}
        assert not [n for n, p in run.methods[self.method].named_parameters() if id(p) in models]
