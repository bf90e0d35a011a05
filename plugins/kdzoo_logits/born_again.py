"""Born-again networks: generations of one architecture, each taught by the one before.

Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born-Again Neural Networks", ICML 2018 (arXiv 1805.04770).

Generation 0 learns from labels alone; generation k, trained by the recipe's own methods, from generation k - 1. The recipe's
student is the last one. DenseNets on CIFAR-100 in the paper: 15.5 % error.

This is a plan, no teacher of its own: it stands for `{use: frozen, recipe: ...}`, whose recipe is the one around it with one
generation fewer. Each generation is trained once, stored under its identity, and shared by all runs that name it.

Deviation: the paper's ensembles of generations are left out.
"""

from __future__ import annotations

from typing import Any, Literal

from kdzoo.protocol.teacher import Teacher
from kdzoo.ranges import above
from kdzoo_logits.plans import earlier, with_teacher

LABELS = "hard_label"


class BornAgain(Teacher):
    """The generation before the student.

    Args:
        generations: which generation the recipe's student is; 1 is the first that has a teacher.
        seed: of generation 0, and one more for each that follows; unlike the usual seeds of students, so that a student does
            not start where its teacher started.
        weights: the `last` epoch's weights of each generation, or the `best` on validation.
    """

    def __init__(self, *, generations: int = 1, seed: int = 1000, weights: Literal["last", "best"] = "last") -> None:
        super().__init__()

    @staticmethod
    def expand(settings: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
        """The frozen teacher that the settings stand for, given the recipe around them. Raises ValueError."""
        left = settings["generations"] - 1
        above(0, generations=left + 1)
        plan = {**settings, "generations": left}
        changes = {"teachers": with_teacher(recipe, settings["use"], plan)} if left else labels_alone(recipe)
        named = {"name": f"generation{left}", "seed": settings["seed"] + left}
        return {"use": "frozen", "recipe": earlier(recipe, changes | named), "weights": settings["weights"]}


def labels_alone(recipe: dict[str, Any]) -> dict[str, Any]:
    """What makes a recipe train its student on labels, as they are: no teachers, no peers, and no schedules of methods."""
    schedules = {path: item for path, item in recipe.get("schedules", {}).items() if not path.startswith("methods.")}
    return {"teachers": {}, "learners": {}, "methods": {LABELS: {}}, "schedules": schedules}
