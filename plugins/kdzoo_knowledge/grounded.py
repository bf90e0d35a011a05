"""A task's rules on a batch: what every method of this family starts from.

The task offers the capability `knowledge`: attributes `knowledge` and `main` (the head that is its rows). Rules about samples
are grounded on each of them. Rules about a relation are grounded by index tensors that the batch brings:
`extra["groundings"][relation]` maps each role to the places (G,) of its parts in the rows of their heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.protocol.context import RunContext
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Step
from kdzoo_knowledge.declaration.vocabulary import SAMPLE
from kdzoo_knowledge.tasks.heads import rows_of
from kdzoo_knowledge.theory import Theory

CAPABILITY = "knowledge"
GROUNDINGS = "groundings"
NEEDS = Needs(capabilities=frozenset({CAPABILITY}))


class Grounded(nn.Module):
    """The theories of a task as a module of a method, so that they are where the method is.

    Attributes:
        names: of the rules, theory by theory; weights: (K,) theirs.
    """

    weights: Tensor

    def __init__(self, run: RunContext, owner: str) -> None:
        super().__init__()
        task: Any = run.task
        compiled = task.knowledge.compiled()
        if not compiled:
            raise RecipeError(f"{owner} needs rules, but task.knowledge has none; declare is_a, exclusive or rules.")
        self.main: str = task.main
        self.subjects = list(compiled)
        self.compiled = nn.ModuleList(compiled.values())
        rules = [rule for theory in compiled.values() for rule in theory.rules]
        self.names = [rule.name for rule in rules]
        self.priorities = [rule.priority for rule in rules]
        self.register_buffer("weights", torch.tensor([rule.weight for rule in rules]), persistent=False)

    @property
    def theories(self) -> list[Theory]:
        return [theory for theory in self.compiled if isinstance(theory, Theory)]

    def literals(self, output: Output, batch: Batch) -> list[Tensor]:
        """Log-probabilities (G, L) of each theory's literals."""
        logits = (
            self.logits(theory, subject, output, batch) for theory, subject in zip(self.theories, self.subjects, strict=True)
        )
        return [theory.log_literals(own) for theory, own in zip(self.theories, logits, strict=True)]

    def logits(self, theory: Theory, subject: str, output: Output, batch: Batch) -> dict[tuple[str, str], Tensor]:
        """(G, classes) of each variable of a theory, by role and head."""
        places: Mapping[str, Tensor] = batch.extra.get(GROUNDINGS, {}).get(subject, {})
        found = {}
        for variable in theory.variables:
            rows = rows_of(output, variable.head.name, self.main).logits
            place = places.get(variable.role) if variable.role else None
            found[variable.role, variable.head.name] = rows if place is None else rows[place]
        return found

    def of(self, step: Step) -> list[Tensor]:
        """The literals of the student's answer."""
        return self.literals(step.student, step.batch)

    def weighted(self, step: Step) -> Iterator[tuple[Theory, Tensor, Tensor]]:
        """Each theory with the literals (G, L) of the student's answer and the weights (K,) of its rules."""
        weights = self.weights.split([len(theory.rules) for theory in self.theories])
        return zip(self.theories, self.of(step), weights, strict=True)


def sample_theory(rules: Grounded, owner: str) -> Theory:
    """The rules about samples. Raises CapabilityError where there are others."""
    if rules.subjects != [SAMPLE]:
        raise CapabilityError(f"{owner} infers each sample by itself, but there are rules about {', '.join(rules.subjects)}.")
    return rules.theories[0]


def per_sample(values: list[Tensor], step: Step) -> Tensor:
    """The sum over groundings (G,) of each theory, a mean over samples."""
    return torch.stack([value.sum() for value in values]).sum() / step.batch.size


def uniform(step: Step, name: str, groundings: int, draws: int) -> Tensor:
    """(G, draws) in [0, 1); where each sample has as many groundings, its numbers do not depend on how the batch is cut."""
    if groundings % step.batch.size:
        return torch.rand(groundings, draws, generator=step.generator(name), device=step.student.rows.device)
    return step.uniform(name, draws * (groundings // step.batch.size)).reshape(groundings, draws)
