"""What the methods compute on the tiny task, who takes part, and what they deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from kdzoo_knowledge.exact import jointly, total_log_probability
from kdzoo_knowledge.imitation import Imitation
from kdzoo_knowledge.inference.most_probable import likeliest
from kdzoo_knowledge.tasks.concepts import mixed
from kdzoo_knowledge.tasks.heads import cut
from torch import Tensor

from kdzoo.engine.run import Run
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.outputs import Pair, Progress, Step
from kdzoo.testing import tiny_recipe, tiny_run
from kdzoo.testing.tiny import first_window

Running = Callable[..., Run]
TEACHER: dict[str, Any] = {"use": "separate_heads", "body": {"use": "tiny_cnn", "widths": [6]}}
HARD = {"two": "if(digit.2, marks.even and marks.prime)"}


def seen(run: Run, name: str) -> Step:
    return run.view(run.step(first_window(run)[0]), run.methods[name])


def value(run: Run, name: str, term: str) -> Tensor:
    found: Tensor = getattr(run.methods[name], term)(seen(run, name))
    return found


def theory_of(run: Run) -> Any:
    return run.task.knowledge.theories["sample"]  # type: ignore[attr-defined]


def literals_of(run: Run, x: Tensor, model: Any = None) -> Tensor:
    heads = list(run.task.knowledge.vocabulary.heads.values())  # type: ignore[attr-defined]
    parts = cut((model or run.student)(x), heads)
    found: Tensor = theory_of(run).log_literals({("", name): part for name, part in parts.items()})
    return found


# -- losses ----------------------------------------------------------------------------------------------------------


def test_the_semantic_loss_of_a_batch_is_the_mean_over_its_samples(running: Running) -> None:
    run = running("semantic_loss")
    step = seen(run, "semantic_loss")
    literals = literals_of(run, step.batch.inputs)
    expected = -total_log_probability(jointly(theory_of(run), "test"), literals).mean()
    torch.testing.assert_close(run.methods["semantic_loss"].semantic(step), expected)  # type: ignore[operator]


@pytest.mark.parametrize("method", ["tnorm_constraint", "gumbel_constraint", "rule_distillation"])
@pytest.mark.parametrize("weight", [0, 2])
def test_whole_numbers_are_weights_like_others(method: str, weight: int, running: Running, knowledge: dict[str, Any]) -> None:
    losses = []
    for number in (weight, float(weight)):
        knowledge["rules"], knowledge["is_a"] = {"one": {"holds": HARD["two"], "weight": number}}, []
        run = running(method)
        losses.append(run.total(run.step(first_window(run)[0]), commit=False).item())
    assert losses[0] == losses[1]


def test_weights_of_rules_scale_their_violations(running: Running, knowledge: dict[str, Any]) -> None:
    knowledge["rules"], knowledge["is_a"] = {"one": {"holds": HARD["two"], "weight": 3.0}}, []
    thrice = value(running("tnorm_constraint", {"implication": "strong"}), "tnorm_constraint", "violation")
    knowledge["rules"]["one"]["weight"] = 1.0
    once = value(running("tnorm_constraint", {"implication": "strong"}), "tnorm_constraint", "violation")
    torch.testing.assert_close(thrice, 3 * once)


def test_the_logarithm_of_a_truth_costs_more_than_its_complement(running: Running) -> None:
    settings = {"implication": "strong"}
    plain = value(running("tnorm_constraint", settings), "tnorm_constraint", "violation")
    logarithm = value(running("tnorm_constraint", {**settings, "loss": "log"}), "tnorm_constraint", "violation")
    assert logarithm > plain > 0


def unlabeled(run: Run, name: str) -> tuple[Step, Tensor]:
    """A step, and which of its samples have no label."""
    step = seen(run, name)
    weight = step.student.rows.label_weight
    assert weight is not None
    assert 0 < int((weight == 0).sum()) < len(weight)
    return step, weight == 0


def test_samples_without_a_label_hear_of_rules_but_not_of_labels(running: Running) -> None:
    run = running("semantic_loss")
    step, without = unlabeled(run, "semantic_loss")
    logits = step.student.rows.logits
    (of_labels,) = torch.autograd.grad(run.task.supervised(step.student), logits, retain_graph=True)
    (of_rules,) = torch.autograd.grad(run.methods["semantic_loss"].semantic(step), logits)  # type: ignore[operator]
    assert (of_labels[without] == 0).all()
    assert (of_labels[~without].abs().sum(1) > 0).all()
    assert (of_rules.abs().sum(1) > 0).all()


def test_pseudo_labels_may_be_those_of_unlabeled_samples_alone(running: Running) -> None:
    run = running("constraint_pseudo_labels", {"unlabeled_only": True})
    step, without = unlabeled(run, "constraint_pseudo_labels")
    loss = run.methods["constraint_pseudo_labels"].pseudo(step)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(loss, step.student.rows.logits)
    assert (gradient[~without] == 0).all()
    assert (gradient[without].abs().sum(1) > 0).all()


def test_no_state_that_satisfies_the_rules_gives_no_loss_and_is_counted(running: Running, knowledge: dict[str, Any]) -> None:
    knowledge["is_a"] = []
    knowledge["rules"] = {"never": {"holds": "digit.0 and digit.1", "priority": 50}}
    run = running("constraint_sampling", {"samples": 5})
    step = seen(run, "constraint_sampling")
    loss = run.methods["constraint_sampling"].sampled(step)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(loss, step.student.rows.logits)
    assert loss == 0
    assert (gradient == 0).all()
    assert step.stash["unsatisfied"] == 1


def test_multipliers_grow_only_while_rules_are_broken_and_are_kept_in_the_checkpoint(running: Running) -> None:
    run = running("primal_dual", {"warmup": 0, "every": 1})
    method: Any = run.methods["primal_dual"]
    method.ascend(torch.linspace(0, 1, len(method.multipliers)), 0)
    assert method.multipliers[0] == 0
    assert (method.multipliers[1:] > 0).all()
    assert "multipliers" in method.state_dict()
    before = method.multipliers.clone()
    method.ascend(-torch.ones_like(before), 0)
    assert (method.multipliers >= 0).all()
    assert (method.multipliers < before).any()


def test_labels_that_inference_masks_by_nothing_are_plain_labels(running: Running) -> None:
    run = running("inference_masked", {"agreed": 1.0})
    step = seen(run, "inference_masked")
    torch.testing.assert_close(run.methods["inference_masked"].masked(step), run.task.supervised(step.student))  # type: ignore[operator]


# -- teachers --------------------------------------------------------------------------------------------------------


def projected(running: Running, strength: float) -> tuple[Tensor, Tensor]:
    """The teacher's log-probabilities as they are, and as the rules correct them."""
    spec = {"logits": [{"use": "rule_projection", "strength": strength}]}
    run = running("kd", spec, teacher={"use": "frozen", "model": TEACHER})
    step = seen(run, "kd")
    pair: Pair = run.methods["kd"].logits[0](Pair(step.student.rows, step.teacher.rows), step)
    assert pair.teacher is not None
    return step.teacher.rows.logits.log_softmax(1), pair.teacher.logits.log_softmax(1)


def test_a_projection_of_strength_0_changes_no_teacher_and_a_stronger_one_does(running: Running) -> None:
    torch.testing.assert_close(*projected(running, 0.0), rtol=1e-4, atol=1e-5)
    plain, moved = projected(running, 6.0)
    assert (plain - moved).abs().max() > 1e-3


@pytest.mark.parametrize(("pi", "kept"), [(0.0, "labels"), (1.0, "imitation")])
def test_a_student_at_either_end_hears_one_voice_alone(running: Running, pi: float, kept: str) -> None:
    run = running("rule_distillation", {"pi": pi}, teacher={"use": "rule_teacher"})
    step = seen(run, "rule_distillation")
    terms = {name: getattr(run.methods["rule_distillation"], name)(step) for name in ("labels", "imitation")}
    assert {name: bool(value > 0) for name, value in terms.items()} == {name: name == kept for name in terms}


def test_a_rule_teacher_that_conditions_on_the_rules_pulls_as_the_semantic_loss_does(running: Running, knowledge: Any) -> None:
    del knowledge["rules"]["rarely both"]  # of lower priority: the semantic loss makes no difference, a teacher may
    run = running("rule_distillation", {"pi": 0.25}, teacher={"use": "rule_teacher", "strength": 1e4})
    step = seen(run, "rule_distillation")
    imitation = run.methods["rule_distillation"].imitation(step)  # type: ignore[operator]
    literals = theory_of(run).log_literals({("", name): rows.logits for name, rows in step.student.heads.items()})  # type: ignore[union-attr]
    semantic = -total_log_probability(jointly(theory_of(run), "test"), literals).mean()
    logits = [rows.logits for rows in step.student.heads.values()]  # type: ignore[union-attr]
    of_teacher, of_loss = (torch.autograd.grad(loss, logits, retain_graph=True) for loss in (imitation, semantic))
    for ours, theirs in zip(of_teacher, of_loss, strict=True):
        torch.testing.assert_close(ours, 0.25 * theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "progress", "expected"),
    [
        ({"decay": 0.5, "unit": "epoch"}, Progress(3, 9, 0, 10), 0.875),
        ({"decay": 0.5, "most": 0.6, "unit": "epoch"}, Progress(3, 9, 0, 10), 0.6),
        ({"decay": 0.5, "unit": "step"}, Progress(0, 9, 1, 10), 0.5),
        ({"decay": 0.25, "unit": "fraction"}, Progress(0, 9, 5, 10), 0.5),
    ],
)
def test_imitation_grows_with_time(settings: Mapping[str, Any], progress: Progress, expected: float) -> None:
    assert Imitation(**settings).value(0.1, progress) == pytest.approx(expected)


# -- inference -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["exact", "milp"])
def test_the_deployed_model_keeps_hard_rules(running: Running, knowledge: dict[str, Any], how: str) -> None:
    del knowledge["rules"]["rarely both"]
    run = running("constrained_inference", {"how": how})
    x = first_window(run)[0].inputs
    theory = theory_of(run)
    with torch.no_grad(), run.mode(training=False):
        before = theory.holds(likeliest(theory, literals_of(run, x)))
        after = theory.holds(likeliest(theory, literals_of(run, x, run.deployed())))
    hard = [rule.hard for rule in theory.rules]
    assert not before[:, hard].all()
    assert after[:, hard].all()


def test_gradients_at_test_time_leave_fewer_rules_broken(running: Running) -> None:
    run = running("gradient_inference", {"steps": 50, "rate": 1.0})
    x = first_window(run)[0].inputs
    theory = theory_of(run)
    with torch.no_grad(), run.mode(training=False):
        before, after = (theory.holds(likeliest(theory, literals_of(run, x, m))).all(1) for m in (None, run.deployed()))
    assert after.sum() > before.sum()
    assert after[before].all()


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_method_of_rules_without_rules_says_where_to_declare_them(running: Running, knowledge: dict[str, Any]) -> None:
    knowledge["rules"], knowledge["is_a"] = {}, []
    with pytest.raises(RecipeError, match=r"methods.semantic_loss needs rules, but task.knowledge has none; declare is_a"):
        running("semantic_loss")


@pytest.mark.parametrize(
    ("method", "settings"),
    [("semantic_loss", {}), ("gradient_inference", {}), ("primal_dual", {"violation": "semantic"})],
)
def test_rules_of_low_priority_that_an_exact_loss_cannot_satisfy_are_named_alone(
    running: Running, knowledge: dict[str, Any], method: str, settings: dict[str, Any]
) -> None:
    knowledge["rules"] |= {"never": {"holds": "digit.0 and digit.1", "priority": 50}}
    with pytest.raises(RecipeError, match=rf"methods.{method}: no state satisfies `never`, whose probability is then 0"):
        running(method, settings).deployed()


def test_a_method_of_rules_on_a_task_without_knowledge_is_refused() -> None:
    with pytest.raises(CapabilityError, match="knowledge"), tiny_run(tiny_recipe("semantic_loss")):
        pass


def test_a_first_head_without_labels_is_refused(running: Running, knowledge: dict[str, Any]) -> None:
    knowledge["heads"] = {"hidden": ["a", "b"], **knowledge["heads"]}
    with pytest.raises(RecipeError, match=r"task.knowledge.heads.hidden stands first, .* name a head with labels first"):
        running("semantic_loss")


@pytest.mark.parametrize("mixed_labels", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_samples_without_one_label_each_are_refused(running: Running, recipe: dict[str, Any], mixed_labels: Any) -> None:
    recipe["task"]["samples"] |= mixed_labels
    with pytest.raises(RecipeError, match=r"task.samples must be a task whose samples have one class each"):
        running("semantic_loss")


def test_a_model_with_other_heads_is_refused(running: Running) -> None:
    run = running("semantic_loss", student={"use": "mlp", "hidden": [4]})
    batch = first_window(run)[0]
    with pytest.raises(CapabilityError, match=r"must return logits \(samples, 14\), those of all heads"):
        run.task.forward(lambda x: run.student(x)[:, :3], batch, "main")


# -- order -----------------------------------------------------------------------------------------------------------


def test_labeled_samples_are_mixed_in_at_their_share() -> None:
    labeled = torch.arange(100) < 10
    order = mixed(labeled, 0.25, torch.randperm(100, generator=torch.Generator().manual_seed(0)))
    assert len(order) == 100
    shares = labeled[order].view(-1, 20).sum(1)
    assert shares.tolist() == [5] * 5
    unknown = order[~labeled[order]]
    assert len(unknown.unique()) == len(unknown)
