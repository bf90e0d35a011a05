"""Names in a recipe must mean something: roles of optimizers (which somebody reads) and schedules, learners, the run's name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

from kdzoo.errors import RecipeError, did_you_mean
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.teacher import Teacher

STUDENT = "student"
"""Name of the first learner."""
MOST_LEARNERS = 1000


def check_names(
    settings: Mapping[str, Any], methods: Mapping[str, Method], teachers: Mapping[str, Teacher], *, learners: int
) -> None:
    """Refuse, with a RecipeError, what names nothing.

    Args: learners: how many the methods need; those that the recipe does not name are copies of the student.
    """
    check_run_name(settings["name"], "name")
    if STUDENT in settings["learners"]:
        raise RecipeError(f"learners.{STUDENT} would replace the student, which `{STUDENT}` describes; give it another name.")
    if not methods:
        raise RecipeError("the recipe names no method, so there is nothing to train by; add e.g. `methods: {hard_label: {}}`.")
    if learners > MOST_LEARNERS:
        raise RecipeError(
            f"the methods ({', '.join(methods)}) ask for {learners} learners; at most {MOST_LEARNERS} train together."
        )
    roles = {STUDENT, *settings["learners"]}
    roles |= {f"{STUDENT}{number}" for number in range(len(roles) + 1, learners + 1)}
    trained = [*sorted(roles), *(name for name, teacher in teachers.items() if teacher.trains)]
    for role in settings["optimizers"]:
        _known(role, [*roles, *teachers], f"optimizers.{role}", "learner or teacher")
        if role not in trained:
            raise RecipeError(
                f"optimizers.{role} is read by nobody, as teacher {role!r} is not trained; remove it (`optimizers: "
                f"{{{role}: null}}`), or train the teacher: teacher.use=trainable."
            )
    for path in settings["schedules"]:
        _check_schedule(path, {"methods": methods, "teachers": teachers, "optimizers": dict.fromkeys(trained)})


def check_run_name(name: str, where: str) -> None:
    """Refuse a name that would leave the folder of runs, or that no folder can have."""
    parts = PurePosixPath(name).parts
    outside = name.startswith(("/", "~")) or ".." in parts or "\\" in name
    if (name and not parts) or outside or any(ord(letter) < 32 for letter in name) or len(name.encode()) > 200:
        raise RecipeError(
            f"{where} is {name[:80]!r}, but runs are kept in a folder of that name below runtime.out: "
            "use letters, digits, - and _, and set runtime.out to keep them elsewhere."
        )


def _check_schedule(path: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    root, _, rest = path.partition(".")
    name, _, attribute = rest.partition(".")
    if root not in groups or not attribute:
        return  # told when it is bound, with what could be written
    if name not in groups[root]:
        raise RecipeError(f"schedules.{path}: there is no {root}.{name}; {did_you_mean(name, groups[root])}")
    owner, first = groups[root][name], attribute.split(".")[0].split("[")[0]
    if isinstance(owner, Method) and first == "weights":
        term = attribute.partition(".")[2]
        _known(term, owner.weights, f"schedules.{path}", "term")
    elif isinstance(owner, Method) and not hasattr(owner, first) and not overrides(owner, "setup"):
        numbers = [key for key, value in vars(owner).items() if isinstance(value, int | float)]
        _known(first, numbers, f"schedules.{path}", "number")


def _known(name: str, names: Collection[str], where: str, what: str) -> None:
    if name not in names:
        raise RecipeError(f"{where}: there is no {what} {name!r}; {did_you_mean(name, names)}")
