"""TAKD: teacher assistants of sizes in between, each taught by the next larger network.

Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, "Improved Knowledge Distillation via Teacher Assistant", AAAI 2020.

    teacher -> assistants[0] -> assistants[1] -> ... -> the recipe's student

Each step is trained by the recipe's own methods (in the paper: labels and KD). Only the last assistant teaches the student.
The authors' code searches weight and temperature anew for every step; here all steps have the recipe's.

This is a plan, no teacher of its own: it stands for `{use: frozen, recipe: ...}`, whose recipe is the one around it with the
last assistant for its student and one assistant fewer. Each is trained once, stored under its identity, and shared by all
runs that name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from kdzoo.protocol.roles import Existing, RecipeRef
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo_logits.plans import earlier, with_teacher

OF_THE_TEACHER = ("model", "checkpoint", "recipe")


class TAKD(Teacher):
    """The last assistant of a chain.

    Args:
        assistants: models from the teacher's side to the student's; none is plain distillation.
        model, checkpoint, recipe: the teacher at the head of the chain, as for `frozen`.
        weights: the `last` epoch's weights of teacher and assistants, or the `best` on validation.
    """

    def __init__(
        self,
        *,
        assistants: Sequence[Model],
        model: Model | None = None,
        checkpoint: Existing | None = None,
        recipe: RecipeRef | None = None,
        weights: Literal["last", "best"] = "last",
    ) -> None:
        super().__init__()

    @staticmethod
    def expand(settings: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
        """The frozen teacher that the settings stand for, given the recipe around them."""
        if not settings["assistants"]:
            weights = {"weights": settings["weights"]} if settings["recipe"] is not None else {}
            return {"use": "frozen"} | {name: settings[name] for name in OF_THE_TEACHER} | weights
        *before, last = settings["assistants"]
        teachers = with_teacher(recipe, settings["use"], {**settings, "assistants": before})
        changes = {"name": f"assistant{len(before) + 1}", "student": last, "teachers": teachers}
        return {"use": "frozen", "recipe": earlier(recipe, changes), "weights": settings["weights"]}
