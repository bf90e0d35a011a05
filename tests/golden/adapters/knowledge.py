"""Golden names of the knowledge family. Their files have no prefixes: `OUTPUTS` says what is expected."""

from __future__ import annotations

import ast
from typing import Any

import torch
from kdzoo_knowledge.declaration.expressions import And, Or, at_least, at_most, exactly, iff
from kdzoo_knowledge.declaration.knowledge import Knowledge, is_a
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.exact import States, jointly, total_log_probability
from kdzoo_knowledge.imitation import imitation
from kdzoo_knowledge.inference.linear import program
from kdzoo_knowledge.inference.solver import maximized
from kdzoo_knowledge.logic.counting import count_distribution
from kdzoo_knowledge.logic.masking import inference_masked
from kdzoo_knowledge.logic.multipliers import adam_ascended, adam_rate, ascended, cap, decayed, update_times
from kdzoo_knowledge.logic.projection import marginals, projected
from kdzoo_knowledge.logic.sampling import first_times, ratio_loss, score_loss, unique_loss
from kdzoo_knowledge.logic.truth import TNORMS, Godel, Lukasiewicz, Product
from kdzoo_knowledge.logic.weighted import hierarchy_log_count, marginal_divergence
from torch.nn import functional as F

LETTERS = {"L": Lukasiewicz, "G": Godel, "P": Product}
IMPLICATIONS = {"R": "residuum", "S": "strong"}


def gradient(loss: Any, of: Any) -> Any:
    return torch.autograd.grad(loss.sum(), of, retain_graph=True)[0]


def fresh(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_()


def tnorm(case: Any) -> dict[str, Any]:
    given = {"out.pmf4": count_distribution(case.inputs["x4"])}
    a, b = torch.meshgrid(case.inputs["grid"], case.inputs["grid"], indexing="ij")
    for letter, kind in LETTERS.items():
        logic = kind()
        for n in (2, 3, 4):
            x = case.inputs[f"x{n}"]
            given[f"out.and_{letter}_{n}"] = logic.conjunction(x)
            given[f"out.or_{letter}_{n}"] = logic.disjunction(x)
            given[f"out.xor_{letter}_{n}"] = logic.exclusive(x)
            given[f"out.iff_{letter}_{n}"] = logic.equivalence(x)
        for n in (3, 4):
            x, counts = case.inputs[f"x{n}"], range(-1, n + 2)
            for name, count in (("ge", logic.at_least), ("le", logic.at_most), ("eq", logic.exactly)):
                given[f"out.count_{name}_{letter}_{n}"] = torch.stack([count(x, k) for k in counts], 1)
        for short, implication in IMPLICATIONS.items():
            given[f"out.imp_{letter}_{short}"] = kind(implication).implication(a, b)
    x = fresh(case.inputs["x4"])
    exactly_one, some = Product().exactly(x, 1), Product().disjunction(x)
    given["grad.1minus_eq1_P_4"] = gradient(1 - exactly_one, x)
    given["grad.neglog_eq1_P_4"] = gradient(-exactly_one.log(), x)
    given["grad.1minus_or_P_4"] = gradient(1 - some, x)
    return given


def hierarchy_knowledge(parent: Any) -> Any:
    fine = Head("fine", tuple(f"f{i}" for i in range(len(parent))))
    coarse = Head("coarse", tuple(f"c{i}" for i in range(max(parent) + 1)))
    return Knowledge.of(fine, coarse, rules=[is_a(fine[f], coarse[c]) for f, c in enumerate(parent)])


def one_hot_states(theory: Any, states: Any, fine: Any, coarse: Any) -> tuple[Any, Any]:
    """Which fine and coarse class each state has."""
    chosen = states[:, theory.positive].view(len(states), -1)
    return chosen[:, :fine].argmax(1), chosen[:, fine : fine + coarse].argmax(1)


def hierarchy(case: Any) -> Any:
    z_f, z_c = fresh(case.inputs["logits_fine"]), fresh(case.inputs["logits_coarse"])
    parent = case.inputs["parent"]
    log_f, log_c = z_f.log_softmax(1), z_c.log_softmax(1)
    p, q = log_f.exp(), log_c.exp()
    knowledge = hierarchy_knowledge(parent.tolist())
    theory = knowledge.theories["sample"]
    literals = theory.log_literals({("", "fine"): z_f, ("", "coarse"): z_c})
    log_count = hierarchy_log_count(log_f, log_c, parent)
    enumerated = total_log_probability(jointly(theory, "golden"), literals)
    torch.testing.assert_close(enumerated, log_count)
    loss = -log_count
    given = {
        "out.sat_prob": log_count.exp(),
        "out.semantic_loss": loss,
        "out.semantic_grad_fine_sum": gradient(loss, z_f),
        "out.semantic_grad_coarse_sum": gradient(loss, z_c),
    }
    for key in ("PR", "LR", "GR", "PS"):
        logic = LETTERS[key[0]](IMPLICATIONS[key[1]])
        given[f"out.if_loss_{key}"] = 1 - logic.implication(p, q[:, parent])
    for letter, kind in LETTERS.items():
        children = [kind().disjunction(p[:, parent == c]) for c in range(q.shape[1])]
        given[f"out.orchild_loss_{letter}"] = 1 - kind().implication(q, torch.stack(children, 1))
    divergence = marginal_divergence(log_f, log_c, parent)
    given |= {
        "out.marginal_kl": divergence,
        "out.marginal_kl_grad_fine_sum": gradient(divergence, z_f),
        "out.marginal_kl_grad_coarse_sum": gradient(divergence, z_c),
    }
    chosen_f, chosen_c = z_f.argmax(1), z_c.argmax(1)
    given |= {"out.argmax_fine": chosen_f, "out.argmax_coarse": chosen_c}
    given["out.violation_rate"] = (parent[chosen_f] != chosen_c).double().mean()
    return given | inferred(case, theory, literals) | taught(case, theory, literals, z_f, z_c) | sampled(case, z_f, z_c)


def inferred(case: Any, theory: Any, literals: Any) -> dict[str, Any]:
    """By enumeration and by integer programming, of log-probabilities and of probabilities."""
    widths = case.inputs["logits_fine"].shape[1], case.inputs["logits_coarse"].shape[1]
    (component,) = theory.components
    states, costs = States(component, "golden"), torch.full((len(theory.rules),), torch.inf)
    given = {}
    for name, weights in (("", literals), ("_linear", literals.exp())):
        best = states.most_probable(weights, costs)
        objective = (best.to(weights) * weights).sum(1)
        solved = maximized(program(theory), weights.detach().double().numpy()[:, theory.positive.numpy()])
        torch.testing.assert_close(torch.from_numpy(solved.values)[:, : len(theory.atoms)].float(), best[:, theory.positive])
        fine, coarse = one_hot_states(theory, best, *widths)
        given |= {f"out.map_fine{name}": fine, f"out.map_objective{name}": objective}
        given |= {"out.map_coarse": coarse} if not name else {}
    return given


def taught(case: Any, theory: Any, literals: Any, z_f: Any, z_c: Any) -> dict[str, Any]:
    (component,) = theory.components
    made = States(component, "golden")
    joint = projected(literals, made.states, case.hyper["rule_lambda"] * made.broken.sum(1), strength=case.hyper["rule_C"])
    widths = z_f.shape[1], z_c.shape[1]
    fine, coarse = one_hot_states(theory, made.states, *widths)
    table = joint.new_zeros(len(joint), *widths)
    table[:, fine, coarse] = joint
    found = marginals(joint, made.states).exp().detach()
    q_f, q_c = found[:, : widths[0]], found[:, widths[0] :]
    y_f, pi = case.inputs["y_fine"], case.hyper["pi"]
    loss = 0
    for z, q, y in ((z_f, q_f, y_f), (z_c, q_c, case.inputs["parent"][y_f])):
        hard, soft = F.cross_entropy(z, y, reduction="none"), F.cross_entropy(z, q, reduction="none")
        loss = loss + (1 - pi) * hard + pi * soft
    masked = inference_masked(
        z_f, F.one_hot(y_f, widths[0]).to(z_f), case.inputs["iml_inference"], agreed=case.hyper["iml_lambda"]
    )
    return {
        "out.teacher_joint": table,
        "out.teacher_fine": q_f,
        "out.teacher_coarse": q_c,
        "out.rule_distill_loss": loss,
        "out.rule_distill_grad_fine_mean": gradient(loss.mean(), z_f),
        "out.rule_distill_grad_coarse_mean": gradient(loss.mean(), z_c),
        "out.pi_schedule_095": times(case, "pi_schedule_095", decay=0.95),
        "out.pi_schedule_min09": times(case, "pi_schedule_min09", decay=0.9, most=0.9),
        "out.iml_loss_elem": masked,
        "out.iml_loss_mean": masked.mean(),
    }


def times(case: Any, key: Any, **settings: Any) -> torch.Tensor:
    return torch.tensor([imitation(t, **settings) for t in range(len(case.expected[f"out.{key}"]))], dtype=torch.float64)


def sampled(case: Any, z_f: Any, z_c: Any) -> dict[str, Any]:
    drawn = torch.stack([case.inputs["samples_fine"], case.inputs["samples_coarse"]], -1)
    log_weights = z_f.log_softmax(1).gather(1, drawn[..., 0]) + z_c.log_softmax(1).gather(1, drawn[..., 1])
    satisfied = case.inputs["parent"][drawn[..., 0]] == drawn[..., 1]
    return {
        "out.sample_ok": satisfied,
        "out.sample_prob": log_weights.exp(),
        "out.sampling_loss_ratio": ratio_loss(log_weights, satisfied),
        "out.sampling_loss_unique": unique_loss(log_weights, satisfied, first_times(drawn)),
        "out.reinforce_grad_fine": gradient(score_loss(log_weights, satisfied), z_f),
    }


def semantic_loss(case: Any) -> dict[str, Any]:
    x = Head("x", ("x0", "x1", "x2", "x3"), binary=True)
    x0, x1, x2, x3 = x.atoms
    rows = [And(tuple(x[i] if on else ~x[i] for i, on in enumerate(row))) for row in case.inputs["models_mixed"].tolist()]
    formulas = {
        "exactly_one": exactly(1, *x.atoms),
        "at_most_one": at_most(1, *x.atoms),
        "at_least_two": at_least(2, *x.atoms),
        "if_0_then_1": x0 >> x1,
        "iff_0_and_23": iff(x0, x2 & x3),
        "mixed": Or(tuple(rows)),
    }
    given = {}
    for name, formula in formulas.items():
        theory = Knowledge.of(x, rules={name: formula}).theories["sample"]
        logits = fresh(case.inputs["logits"])
        loss = -total_log_probability(jointly(theory, "golden"), theory.log_literals({("", "x"): logits}))
        given |= {f"out.wmc_{name}": (-loss).exp(), f"out.loss_{name}": loss, f"out.gradsum_{name}": gradient(loss, logits)}
    return given


def primal_dual(case: Any) -> dict[str, Any]:
    violations, hyper = case.inputs["violations"].detach(), case.hyper
    projected_, value = [torch.zeros_like(violations[0])], []
    for step, violation in enumerate(violations):
        value.append((projected_[-1] * violation).sum())
        rate = decayed(hyper["eta0"], step, hyper["decay"])
        projected_.append(ascended(projected_[-1], violation, rate=rate))
    caps = torch.tensor([cap(p) for p in case.inputs["domiknows_p"].tolist()], dtype=torch.float64)
    moments, multipliers = torch.zeros(2, 3).to(violations), [torch.ones_like(violations[0])]
    for updates, violation in enumerate(violations):
        below = (multipliers[-1] <= caps.to(violation)).to(violation)
        moved, moments = adam_ascended(multipliers[-1], violation * below, moments, updates=updates)
        multipliers.append(moved)
    rates = [adam_rate(0.05, updates) for updates in range(len(violations) + 1)]
    schedule = {name: hyper[key] for name, key in (("warmup", "warmup"), ("every", "freq0"), ("increase", "freq_increase"))}
    wanted = case.expected["out.dual_update_iters"]
    return {
        "out.lambda_projected": torch.stack(projected_),
        "out.lambda_domiknows_adam": torch.stack(multipliers),
        "out.domiknows_caps": caps,
        "out.domiknows_lrs": torch.tensor(rates, dtype=torch.float64),
        "out.dual_update_iters": torch.tensor(update_times(int(wanted[-1]) + 1, **schedule)),
        "out.augmented_value": torch.stack(value),
    }


def map_csp(case: Any) -> dict[str, Any]:
    y = Head("y", tuple(f"y{i}" for i in range(8)), binary=True)
    a = y.atoms
    rules = {
        "one": exactly(1, *a[:4]),
        "if": a[4] >> a[0],
        "apart": ~(a[5] & a[6]),
        "same": iff(a[7], a[1] | a[2]),
        "few": at_most(2, *a[4:]),
    }
    theory = Knowledge.of(y, rules=rules).theories["sample"]
    weights = case.inputs["weights"]
    order = torch.tensor([theory.column[atom] for atom in a])
    solved = maximized(program(theory), weights.double().numpy()[:, order.argsort().numpy()])
    best = torch.from_numpy(solved.values)[:, order]
    found = theory.component(*range(len(rules))).models()[:, theory.positive[order]].long()
    places = (found * 2 ** torch.arange(7, -1, -1)).sum(1).argsort()
    return {
        "out.best": best,
        "out.objective": (best * weights).sum(1),
        "out.unconstrained": (weights > 0).long(),
        "out.feasible": found[places],
    }


def domiknows_library(case: Any) -> Any:
    parent = case.inputs["parent"]
    theory = hierarchy_knowledge(parent.tolist()).theories["sample"]
    z_f, z_c = case.inputs["logits_fine"], case.inputs["logits_coarse"]
    literals = theory.log_literals({("", "fine"): z_f, ("", "coarse"): z_c})
    atoms = literals.exp()[:, theory.positive]
    given = {f"out.if_loss_{name[0].upper()}": 1 - theory.degrees(atoms, name, "residuum") for name in TNORMS}
    solved = maximized(program(theory), atoms.double().numpy())
    fine = torch.from_numpy(solved.values)[:, : z_f.shape[1]].argmax(1)
    holds = (z_f.argmax(1)[:, None] != torch.arange(len(parent))) | (parent == z_c.argmax(1)[:, None])
    return given | {
        "out.ilp_fine": fine,
        "out.ilp_coarse": parent[fine],
        "out.satisfied_percent_argmax": 100 * holds.double().mean(0),
    }


CONNECTIVES = {
    "andVar": lambda logic, x: logic.conjunction(x),
    "orVar": lambda logic, x: logic.disjunction(x),
    "nandVar": lambda logic, x: 1 - logic.conjunction(x),
    "norVar": lambda logic, x: 1 - logic.disjunction(x),
    "xorVar": lambda logic, x: logic.exclusive(x),
    "equivalenceVar": lambda logic, x: logic.equivalence(x),
    "if": lambda logic, x: logic.implication(x[0], x[1]),
}


def domiknows_ops(case: Any) -> dict[str, Any]:
    """Truth degrees; of counts the losses."""

    def value(key: Any) -> Any:
        letter, name, inputs = key.split("|")
        logic, x = LETTERS[letter](), torch.tensor(ast.literal_eval(inputs), dtype=case.dtype)
        if name in CONNECTIVES:
            return CONNECTIVES[name](logic, x)
        counts = {">=": logic.at_least, "<=": logic.at_most, "==": logic.exactly}
        return 1 - counts[name[5:7]](x, int(name[7:]))

    return {"out.values": torch.stack([value(key) for key in case.words["keys"]])}


ADAPTERS = {
    "tnorm": tnorm,
    "hierarchy": hierarchy,
    "semantic_loss": semantic_loss,
    "primal_dual": primal_dual,
    "map_csp": map_csp,
    "domiknows_library": domiknows_library,
    "domiknows_ops": domiknows_ops,
}

OUTPUTS = {
    "tnorm": ("and_*", "or_*", "xor_*", "iff_*", "imp_*", "count_ge*", "count_le*", "count_eq*", "pmf4", "grad_*"),
    "hierarchy": (
        "sat_prob",
        "semantic_*",
        "if_loss_*",
        "orchild_*",
        "marginal_kl*",
        "argmax_*",
        "violation_rate",
        "map_*",
        "teacher_*",
        "rule_distill_*",
        "pi_schedule_*",
        "iml_loss_*",
        "sample_ok",
        "sample_prob",
        "sampling_*",
        "reinforce_*",
    ),
    "semantic_loss": ("wmc_*", "loss_*", "gradsum_*"),
    "primal_dual": ("lambda_*", "domiknows_caps", "domiknows_lrs", "dual_update_iters", "augmented_value"),
    "map_csp": ("best", "objective", "unconstrained", "feasible"),
    "domiknows_library": ("if_loss_*", "ilp_*", "satisfied_*"),
    "domiknows_ops": ("values",),
}
