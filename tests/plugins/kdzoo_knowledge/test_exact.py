"""Exact probabilities against enumeration by hand; sampling tends to them; rule teachers at their limits."""

from __future__ import annotations

import itertools

import pytest
import torch
from kdzoo_knowledge.declaration.expressions import Expression, at_least, at_most, exactly, iff
from kdzoo_knowledge.declaration.knowledge import Knowledge, Rule, is_a
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import Counted, States, by_rule, jointly, total_log_probability
from kdzoo_knowledge.logic.gumbel import gumbel_softmax
from kdzoo_knowledge.logic.masking import inference_masked
from kdzoo_knowledge.logic.multipliers import ascended
from kdzoo_knowledge.logic.projection import projected
from kdzoo_knowledge.logic.sampling import draw, first_times, ratio_loss, score_loss, unique_loss
from kdzoo_knowledge.theory import Theory
from torch import Tensor
from torch.nn import functional as F

from kdzoo.errors import RecipeError

FINE, COARSE = Head("fine", ("a", "b", "c")), Head("coarse", ("x", "y"))
TAGS = Head("tags", ("p", "q", "r"), binary=True)
RULES: dict[str, Expression] = {
    "a": FINE.a >> COARSE.x,
    "tags": at_least(1, *TAGS.atoms) & ~(TAGS.p & TAGS.q),
    "both": iff(FINE.b, TAGS.r),
}


def logits(*heads: Head, rows: int = 5) -> dict[tuple[str, str], Tensor]:
    draws = torch.Generator().manual_seed(0)
    return {("", head.name): torch.randn(rows, len(head.classes), generator=draws, dtype=torch.float64) for head in heads}


def theory_of(*heads: Head, rules: dict[str, Expression]) -> Theory:
    return Knowledge.of(*heads, rules=rules).theories["sample"]


def by_hand(rules: dict[str, Expression], given: dict[tuple[str, str], Tensor]) -> Tensor:
    """P(all rules hold), state by state."""
    fine, coarse = (given["", name].softmax(1) for name in ("fine", "coarse"))
    tags = given["", "tags"].sigmoid()
    total = torch.zeros(len(fine), dtype=torch.float64)
    for f, c, *on in itertools.product(range(3), range(2), *[(False, True)] * 3):
        truth = {f"fine.{label}": i == f for i, label in enumerate(FINE.classes)}
        truth |= {f"coarse.{label}": i == c for i, label in enumerate(COARSE.classes)}
        truth |= {f"tags.{label}": value for label, value in zip(TAGS.classes, on, strict=True)}
        held = truth["fine.b"] == truth["tags.r"] and (truth["coarse.x"] or not truth["fine.a"])
        if held and any(on) and not (on[0] and on[1]):
            total += fine[:, f] * coarse[:, c] * torch.where(torch.tensor(on), tags, 1 - tags).prod(1)
    return total


def test_the_semantic_loss_is_that_of_enumeration() -> None:
    theory, given = theory_of(FINE, COARSE, TAGS, rules=RULES), logits(FINE, COARSE, TAGS)
    found = total_log_probability(jointly(theory, "test"), theory.log_literals(given))
    torch.testing.assert_close(found.exp(), by_hand(RULES, given))


def test_rules_without_a_common_concept_are_independent_components() -> None:
    rules: dict[str, Expression] = {"a": FINE.a >> COARSE.x, "tags": at_most(1, *TAGS.atoms)}
    theory, given = theory_of(FINE, COARSE, TAGS, rules=rules), logits(FINE, COARSE, TAGS)
    assert [component.size for component in theory.components] == [6, 8]
    literals = theory.log_literals(given)
    apart = total_log_probability(jointly(theory, "test"), literals)
    together = theory.component(0, 1).models()
    torch.testing.assert_close(apart, (literals @ together.T.double()).logsumexp(1))


def test_a_tautology_costs_nothing_and_a_contradiction_is_refused() -> None:
    theory = theory_of(FINE, rules={"always": FINE.a | ~FINE.a})
    literals = theory.log_literals(logits(FINE))
    torch.testing.assert_close(total_log_probability(jointly(theory, "test"), literals), torch.zeros(5, dtype=torch.float64))
    soft = Knowledge.of(FINE, rules=[Rule("never", FINE.a & FINE.b, priority=50)]).theories["sample"]
    with pytest.raises(RecipeError, match="no state satisfies `never`"):
        jointly(soft, "methods.semantic_loss")


def test_too_many_states_are_refused_with_advice_where_no_circuit_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo_knowledge.exact.available", lambda: False)
    many = Head("many", tuple(f"t{i}" for i in range(24)), binary=True)
    theory = theory_of(many, rules={"wide": at_least(2, *(many[i] >> many[i + 1] for i in range(23)))})
    with pytest.raises(RecipeError, match=r"16,777,216 joint states.*use sampling.*pip install .*circuits"):
        jointly(theory, "methods.semantic_loss")


@pytest.mark.parametrize("count", [exactly, at_least, at_most])
def test_a_count_over_many_concepts_has_a_closed_form(count: object) -> None:
    few = Head("few", tuple(f"t{i}" for i in range(5)), binary=True)
    theory, given = theory_of(few, rules={"count": count(2, *few.atoms)}), logits(few)  # type: ignore[operator]
    literals = theory.log_literals(given)
    (closed,) = jointly(theory, "test")
    assert isinstance(closed, Counted)
    torch.testing.assert_close(closed(literals), (literals @ theory.component(0).models().T.double()).logsumexp(1))
    many = Head("many", tuple(f"t{i}" for i in range(60)), binary=True)
    theory = theory_of(many, rules={"count": count(2, *many.atoms)})  # type: ignore[operator]
    assert total_log_probability(jointly(theory, "test"), theory.log_literals(logits(many))).isfinite().all()


def test_each_rule_has_its_own_probability() -> None:
    theory, given = theory_of(FINE, COARSE, TAGS, rules=RULES), logits(FINE, COARSE, TAGS)
    first = by_rule(theory, "test")[0](theory.log_literals(given)).exp()
    p, q = given["", "fine"].softmax(1), given["", "coarse"].softmax(1)
    torch.testing.assert_close(first, 1 - p[:, 0] * q[:, 1])


def drawn(given: dict[tuple[str, str], Tensor], theory: Theory, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights, satisfied, first times of samples of two softmax heads."""
    numbers = torch.rand(2, 5, samples, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logs = [given["", name].log_softmax(1) for name in ("fine", "coarse")]
    chosen = torch.stack([draw(log, uniform) for log, uniform in zip(logs, numbers, strict=True)], -1)
    weights = logs[0].gather(1, chosen[..., 0]) + logs[1].gather(1, chosen[..., 1])
    literals = torch.cat([F.one_hot(chosen[..., 0], 3), F.one_hot(chosen[..., 1], 2)], -1)
    return weights, theory.holds(literals).all(-1), first_times(chosen)


def test_sampling_tends_to_the_semantic_loss() -> None:
    theory = theory_of(FINE, COARSE, rules={"a": FINE.a >> COARSE.x, "b": FINE.b >> COARSE.y})
    given = logits(FINE, COARSE)
    exact = -total_log_probability(jointly(theory, "test"), theory.log_literals(given))
    few, many = ((unique_loss(*drawn(given, theory, n)) - exact).abs().max() for n in (5, 2000))
    assert few > many
    torch.testing.assert_close(unique_loss(*drawn(given, theory, 2000)), exact)


def test_samples_follow_the_distribution() -> None:
    p = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    uniform = (torch.arange(1000, dtype=torch.float64)[None] + 0.5) / 1000
    assert F.one_hot(draw(p.log(), uniform), 3).double().mean(1)[0].tolist() == pytest.approx([0.2, 0.5, 0.3])


def test_a_row_whose_samples_all_break_the_rules_costs_0_and_has_no_gradient() -> None:
    weights = torch.randn(2, 4, dtype=torch.float64).requires_grad_()
    satisfied = torch.tensor([[False] * 4, [True, False, False, True]])
    for loss in (ratio_loss(weights, satisfied), unique_loss(weights, satisfied, torch.ones(2, 4, dtype=torch.bool))):
        assert loss[0] == 0
        assert loss[1] > 0
        (gradient,) = torch.autograd.grad(loss.sum(), weights, retain_graph=True)
        assert gradient.isfinite().all()
        assert (gradient[0] == 0).all()
    assert score_loss(weights, satisfied)[0] == 0


def test_the_rule_teacher_is_the_model_at_0_and_the_model_given_the_rules_at_infinity() -> None:
    theory, given = theory_of(FINE, COARSE, TAGS, rules=RULES), logits(FINE, COARSE, TAGS)
    (component,) = theory.components
    states, literals = States(component, "test"), theory.log_literals(given)
    ones = torch.ones(len(theory.rules))
    torch.testing.assert_close(states.log_marginals(literals, ones, 0.0), literals)
    models = component.models().double()
    conditioned = ((literals @ models.T).softmax(1) @ models).clamp_min(1e-300).log()
    for strength, tolerance in ((float("inf"), 1e-12), (40.0, 1e-9)):
        found = states.log_marginals(literals, ones, strength).exp()
        torch.testing.assert_close(found, conditioned.exp(), rtol=0, atol=tolerance)


def test_the_rule_teacher_is_the_nearest_distribution() -> None:
    theory, given = theory_of(FINE, COARSE, rules={"a": FINE.a >> COARSE.x}), logits(FINE, COARSE, rows=1)
    states = States(theory.components[0], "test")
    p = projected(theory.log_literals(given), states.states, states.broken.sum(1), strength=0.0)
    best = projected(theory.log_literals(given), states.states, states.broken.sum(1), strength=2.0)

    def objective(q: Tensor) -> Tensor:
        return (q * (q / p).log()).sum(1) + 2.0 * (q * states.broken.sum(1)).sum(1)

    for seed in range(20):
        noise = torch.randn(best.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert objective((best.log() + 0.1 * noise).softmax(1)) >= objective(best)


def test_multipliers_are_never_negative() -> None:
    multipliers = torch.tensor([0.0, 0.1])
    for violations in torch.randn(50, 2, generator=torch.Generator().manual_seed(0)):
        multipliers = ascended(multipliers, violations, rate=0.3)
        assert (multipliers >= 0).all()


def test_the_masked_loss_without_masking_is_binary_cross_entropy() -> None:
    z, label = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    full = F.binary_cross_entropy_with_logits(z, label, reduction="none")
    for inferred in (label, 1 - label):
        torch.testing.assert_close(inference_masked(z, label, inferred, agreed=1.0), full)
    torch.testing.assert_close(inference_masked(z, label, label, agreed=0.2), 0.2 * full)
    torch.testing.assert_close(inference_masked(z, label, 1 - label, agreed=0.2), full)


def test_gumbel_samples_are_classes_in_proportion_and_pass_gradients() -> None:
    log_p = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log().expand(4000, 3).clone().requires_grad_()
    uniform = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = gumbel_softmax(log_p, uniform, temperature=0.5, straight=True)
    assert hard.detach().mean(0).tolist() == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
    assert torch.autograd.grad(hard[:, 0].sum(), log_p)[0].abs().sum() > 0


def test_a_whole_hierarchy_has_as_many_models_as_fine_classes() -> None:
    rules = [is_a(FINE.a, COARSE.x), is_a(FINE.b, COARSE.y), is_a(FINE.c, COARSE.y)]
    (component,) = Knowledge.of(FINE, COARSE, rules=rules).theories["sample"].components
    assert len(component.models()) == 3
