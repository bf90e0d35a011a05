"""Metrics of heads and rules, in percent, before and after inference.

`accuracy` is that of the main head, `<head>.accuracy` of each with labels; of a binary head, the share of samples of which
every class is right, and `<head>.classes` the share of classes. `violations` counts samples that break any rule,
`violations.<rule>` one of them. `kept.<rule>` is, of an implication, the share of samples that keep it among those to which its
premise applies; it is absent where there is none. With inference there are `inferred.` metrics: the same after it, seconds, and
fallbacks (samples without a proven optimum in time).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdzoo.protocol.outputs import Batch, Output
from kdzoo_knowledge.declaration.expressions import If
from kdzoo_knowledge.declaration.vocabulary import Head
from kdzoo_knowledge.inference.most_probable import MostProbable, likeliest
from kdzoo_knowledge.logic.truth import Boolean
from kdzoo_knowledge.tasks.heads import NO_LABEL, rows_of
from kdzoo_knowledge.theory import Theory


class ConceptMeter:
    """Keeps logits and targets of each head; everything else is computed from them once."""

    def __init__(
        self, heads: Mapping[str, Head], main: str, theory: Theory | None, inference: MostProbable | None = None
    ) -> None:
        self.heads, self.main, self.theory, self.inference = heads, main, theory, inference
        self.logits: dict[str, list[Tensor]] = {name: [] for name in heads}
        self.targets: dict[str, list[Tensor]] = {name: [] for name in heads}

    def update(self, output: Output, batch: Batch) -> None:
        for name in self.heads:
            rows = rows_of(output, name, self.main)
            self.logits[name].append(rows.logits)
            if rows.target is not None:
                self.targets[name].append(rows.target)

    def result(self) -> dict[str, float]:
        logits = {name: torch.cat(own) for name, own in self.logits.items()}
        result = self._accuracies({name: _decided(own, self.heads[name]) for name, own in logits.items()})
        if self.theory is None:
            return result
        literals = self.theory.log_literals({("", name): own.double() for name, own in logits.items()})
        result |= self._rules(likeliest(self.theory, literals))
        if self.inference is not None:
            found = self.inference(literals)
            after = {name: _decided(own, self.heads[name]) for name, own in logits.items()}
            after |= decided_by(self.theory, found.literals)
            inferred = self._accuracies(after) | self._rules(found.literals)
            result |= {f"inferred.{name}": value for name, value in inferred.items()}
            result |= {"inferred.seconds": found.seconds, "inferred.fallbacks": float(found.fallbacks)}
        return result

    def arrays(self) -> dict[str, Tensor]:
        found = {f"logits.{name}": torch.cat(own).cpu() for name, own in self.logits.items()}
        if self.targets[self.main] and not any((own == NO_LABEL).any() for own in self.targets[self.main]):
            found["score"] = 100.0 * self._right(self.main, torch.cat(self.logits[self.main])).cpu()
        return found | {f"target.{name}": torch.cat(own).cpu() for name, own in self.targets.items() if own}

    def _right(self, name: str, logits: Tensor) -> Tensor:
        """(N,) whether the decisions of a head are right, of a binary one all of them."""
        right = _decided(logits, self.heads[name]) == torch.cat(self.targets[name])
        return (right.all(1) if self.heads[name].binary else right).to(logits.dtype)

    def _accuracies(self, decided: Mapping[str, Tensor]) -> dict[str, float]:
        found = {}
        for name, targets in self.targets.items():
            if not targets:
                continue
            target = torch.cat(targets)
            right = decided[name] == target
            if self.heads[name].binary:
                found[f"{name}.classes"] = 100 * right.double().mean().item()
                found[f"{name}.accuracy"] = 100 * right.all(1).double().mean().item()
            else:
                known = target != NO_LABEL
                found[f"{name}.accuracy"] = 100 * (right & known).sum().item() / max(known.sum().item(), 1)
        return {"accuracy": found.get(f"{self.main}.accuracy", float("nan")), **found}

    def _rules(self, literals: Tensor) -> dict[str, float]:
        theory = self.theory
        assert theory is not None
        holds = theory.holds(literals)
        found = {"violations": 100 * (~holds.all(1)).double().mean().item()}
        atoms = literals.index_select(1, theory.positive).bool()
        for number, rule in enumerate(theory.rules):
            found[f"violations.{rule.name}"] = 100 * (~holds[:, number]).double().mean().item()
            if isinstance(rule.formula, If):
                applies = rule.formula.parts[0].truth(lambda atom: atoms[:, theory.column[atom]], Boolean())
                if applies.any():
                    found[f"kept.{rule.name}"] = 100 * holds[applies, number].double().mean().item()
        return found


def _decided(logits: Tensor, head: Head) -> Tensor:
    return (logits > 0).to(logits.dtype) if head.binary else logits.argmax(1)


def decided_by(theory: Theory, literals: Tensor) -> dict[str, Tensor]:
    """What 0 and 1 of the literals say of each head of the samples themselves: classes (G,), or (G, n) of a binary head."""
    found = {}
    for variable in theory.variables:
        if not variable.role:
            own = literals[:, variable.start : variable.start + len(variable.head.classes)]
            found[variable.head.name] = own if variable.head.binary else own.argmax(1)
    return found
