"""Class relations: which classes a model takes for alike, in its weights and in its probabilities.

Tang, Shivanna, Zhao, Lin, Singh, Chi, Jain, "Understanding and Improving Knowledge Distillation", arXiv 2002.03532, look at the
heatmaps: within a superclass, probabilities rise and fall together once the temperature is high. With the rows w_k of the last
layer's weight and p_i = softmax(z_i / T):

    cosine_kl = w_k . w_l / (|w_k| |w_l|)          pearson_kl = correlation over samples of p_ik and p_il

and of both the means within and between superclasses, without the diagonal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kdzoo.errors import CapabilityError
from kdzoo.protocol.analysis import Analysis, Findings, Measured, Table, Wants
from kdzoo.protocol.figures import Figure, Heatmap, Panel
from kdzoo.ranges import above
from kdzoo_smoothing.analyses.by_class import labeled, names_of

NEAREST = 2


def cosine(weight: Tensor) -> Tensor:
    """Cosines (K, K) of the rows of a weight (K, d)."""
    unit = F.normalize(weight, dim=1)
    return unit @ unit.T


def pearson(logits: Tensor, temperature: float) -> Tensor:
    """Correlations (K, K) over samples of the probabilities of logits (N, K); NaN for a probability that never changes."""
    probabilities = (logits / temperature).softmax(1)
    centered = probabilities - probabilities.mean(0)
    length = centered.norm(dim=0)
    return centered.T @ centered / (length[:, None] * length)


def contrast(relation: Tensor, group: Tensor) -> tuple[float, float]:
    """Means of a relation (K, K) within and between the groups (K,) of classes, without the diagonal and without NaN."""
    same = group[:, None] == group
    off = ~torch.eye(len(group), dtype=torch.bool) & ~relation.isnan()
    return relation[same & off].mean().item(), relation[~same & off].mean().item()


def nearest(relation: Tensor, count: int) -> Tensor:
    """The `count` classes (K, count) that are most alike to each class, the most alike first."""
    return relation.masked_fill(torch.eye(len(relation), dtype=torch.bool), -torch.inf).topk(count, dim=1).indices


class ClassRelation(Analysis):
    """Which classes a model takes for alike: cosines of its last layer's rows, correlations of its probabilities.

    Args:
        superclasses: name -> classes, by number; heatmaps are in their order. None has no superclasses.
        temperatures: those at which probabilities are correlated, above 0.
        split: of which samples.
    """

    def __init__(
        self,
        *,
        superclasses: Mapping[str, Sequence[int]] | None = None,
        temperatures: Sequence[float] = (1.0, 4.0, 16.0),
        split: str = "test",
    ) -> None:
        above(0, temperatures=temperatures)
        if not temperatures:
            raise ValueError("temperatures must name at least one temperature, got []")
        self.superclasses = None if superclasses is None else {name: list(own) for name, own in superclasses.items()}
        self.temperatures, self.split = tuple(temperatures), split

    def wants(self) -> Wants:
        return Wants(splits=(self.split,), classifier=True, capabilities=frozenset({"classes"}))

    def analyze(self, runs: Sequence[Measured]) -> Findings:
        values, notes, figures = {}, [], []
        for number, run in enumerate(runs):
            own = labeled(run, self.split)
            notes += own.notes
            classifier = run.student.classifier
            assert classifier is not None  # it is among the wants
            if len(classifier.weight) != own.classes:
                raise CapabilityError(
                    f"the last layer of the run {run.name} has {len(classifier.weight)} rows for {own.classes} classes."
                )
            group = self._groups(run, own.classes)
            relations = {"cosine": cosine(classifier.weight.double())}
            relations |= {f"T={each:g}": pearson(own.logits, each) for each in self.temperatures}
            still = [name for name, each in relations.items() if each.isnan().any()]
            if still:
                notes.append(
                    f"{run.name}: at {', '.join(still)} some probability is the same for all samples; it has no correlation."
                )
            values[run.name] = {
                "split": self.split,
                "relations": relations,
                "nearest": nearest(relations["cosine"], min(NEAREST, own.classes - 1)),
                "superclass": group,
                "contrast": {name: _contrasted(each, group) for name, each in relations.items()} if self.superclasses else {},
            }
            figures.append(self._figure(run, f"relations_{number}", relations, group))
        return Findings(values, self._tables(values), figures, notes)

    def _groups(self, run: Measured, classes: int) -> Tensor:
        """The superclass (K,) of each class. Raises CapabilityError for a map that is no partition of the classes."""
        if self.superclasses is None:
            return torch.zeros(classes, dtype=torch.long)
        group = torch.full((classes,), -1)
        for number, (name, members) in enumerate(self.superclasses.items()):
            for each in members:
                if not 0 <= each < classes:
                    raise CapabilityError(
                        f"analyses.class_relation.superclasses.{name} names class {each}, but the run {run.name} has the "
                        f"classes 0 to {classes - 1}."
                    )
                if group[each] >= 0:
                    raise CapabilityError(
                        f"analyses.class_relation.superclasses has class {each} twice; give it one superclass."
                    )
                group[each] = number
        missing = (group < 0).nonzero().flatten().tolist()
        if missing:
            raise CapabilityError(
                f"analyses.class_relation.superclasses misses class {', '.join(map(str, missing[:5]))} of the run {run.name}; "
                "give each class its superclass."
            )
        return group

    def _tables(self, values: Mapping[str, Mapping[str, object]]) -> list[Table]:
        if not self.superclasses:
            return []
        rows = []
        for name, own in values.items():
            found: Mapping[str, Mapping[str, float]] = own["contrast"]  # type: ignore[assignment]
            rows += [(name, relation, each["within"], each["between"]) for relation, each in found.items()]
        return [Table(f"Means without the diagonal, {self.split}", ("run", "relation", "within", "between"), rows)]

    def _figure(self, run: Measured, name: str, relations: Mapping[str, Tensor], group: Tensor) -> Figure:
        order = group.argsort(stable=True)
        names = [names_of(run, len(group))[each] for each in order.tolist()]
        cuts = (group[order].diff() != 0).nonzero().flatten().add(1).tolist()
        panels = []
        for relation, matrix in relations.items():
            title, unit = (
                ("Rows of the last layer", "cosine") if relation == "cosine" else (f"Probabilities, {relation}", "Pearson's r")
            )
            heat = Heatmap("", matrix[order][:, order], unit, -1, 1, rows=names, columns=names, cuts=cuts, group=relation)
            panels.append(Panel(title, "class", "class", [heat]))
        ordered = "Classes in the order of their superclasses, which lines separate." if self.superclasses else ""
        return Figure(name, f"{run.name}: classes that are alike, {self.split}", panels, ordered)


def _contrasted(relation: Tensor, group: Tensor) -> dict[str, float]:
    within, between = contrast(relation, group)
    return {"within": within, "between": between}
