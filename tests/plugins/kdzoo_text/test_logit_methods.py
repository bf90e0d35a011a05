"""Methods of the other families learn on texts as they are, as far as they need nothing but answers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from text_cases import DISTILLED

from kdzoo import registry
from kdzoo.engine.training_step import train_step
from kdzoo.errors import KdzooError
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

LOGITS = [name for name, entry in registry.discover("methods").items() if entry.target.startswith("kdzoo_logits")]
OF_IMAGES = {"cs_kd": "needs views", "mean_teacher": "needs views", "mlkd": "needs views", "uskd": "neither a tap .* 'stage2'"}


@pytest.mark.parametrize("method", sorted({*LOGITS} - {*OF_IMAGES}))
def test_a_logit_method_takes_a_step_on_texts(method: str) -> None:
    recipe: dict[str, Any] = {**DISTILLED, "methods": {"hard_label": {}}} if method != "hard_label" else DISTILLED
    with tiny_run(tiny_recipe(method, recipe=recipe)) as run:
        before = torch.cat([p.detach().flatten() for p in run.student.parameters()])
        train_step(run, first_window(run)[0])
        after = torch.cat([p.detach().flatten() for p in run.student.parameters()])
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


@pytest.mark.parametrize(("method", "words"), OF_IMAGES.items())
def test_a_method_that_wants_more_than_answers_is_refused(method: str, words: str) -> None:
    with pytest.raises(KdzooError, match=words), tiny_run(tiny_recipe(method, recipe=DISTILLED)):
        pass
