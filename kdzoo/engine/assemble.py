"""Bring a recipe to life: methods, needs, task, learners, teachers, taps, in that order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from kdzoo.engine import gradient_groups
from kdzoo.engine.components import make
from kdzoo.engine.feature_recorder import FeatureRecorder
from kdzoo.engine.models_check import tap_keys
from kdzoo.engine.names_check import STUDENT
from kdzoo.engine.precision import Precision
from kdzoo.engine.run import Run, TrainRecipe
from kdzoo.engine.source import Source
from kdzoo.errors import CapabilityError, PluginError, RecipeError
from kdzoo.protocol.blame import hook_of, returned
from kdzoo.protocol.method import Method, overrides
from kdzoo.protocol.needs import Taps
from kdzoo.protocol.outputs import MAIN
from kdzoo.protocol.task import Model
from kdzoo.protocol.teacher import Teacher
from kdzoo.recipe.build import build


def device_of(name: str) -> torch.device:
    """The training device: `auto` takes the GPU of this process if there is one."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        return torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(f"runtime.device is {name!r}; expected auto, cpu, cuda or cuda:<number>.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise RecipeError(f"runtime.device is {name!r}, but torch sees no GPU here; set runtime.device=cpu.")
        device = torch.device("cuda", local if device.index is None else device.index)
    try:
        torch.ones(1, device=device).item()
    except Exception:
        raise RecipeError(f"runtime.device is {name!r}, but torch cannot compute there; set runtime.device=cpu.") from None
    return device


def assemble(
    settings: Mapping[str, Any],
    provenance: Mapping[str, str] | None = None,
    *,
    train_recipe: TrainRecipe | None = None,
    source: Source | None = None,
) -> Run:
    """Build a run that is ready to train. Everything a user can get wrong is found here, before the first step.

    Args:
        settings: a loaded recipe's settings; provenance: where each was written, for messages.
        train_recipe: how teachers that are recipes are trained; not needed where there are none.
        source: of another run that this one may share (`kdzoo.engine.cohort`); default one of its own.
    """
    made = make(settings, provenance)
    if source is None:
        source = Source.opened(made.task, settings, made.needs, device_of(settings["runtime"]["device"]))
    if settings["train"]["patience"] is not None and not source.task.size("validation"):
        raise RecipeError(
            "train.patience stops a run on validation, but the task holds out no sample for it; "
            "set task.validation, or remove train.patience."
        )
    run = Run(
        settings=settings,
        source=source,
        needs=made.needs,
        own_needs=made.own_needs,
        precision=Precision(settings["train"]["precision"], source.device),
        methods=made.methods,
        makers=made.optimizers,
        schedules=made.schedules,
        train_recipe=train_recipe,
    )
    _learners(run)
    _teachers(run, made.teachers)
    gradient_groups.check(run.makers, run.learners, run.methods)
    _taps(run)
    _setup(run)
    run.processes.broadcast([*run.learners.values(), *run.methods.values(), *run.teachers.values()])
    return run


def _learners(run: Run) -> None:
    """The student, named learners, and copies of the student for methods that need more than there are."""
    specs = {STUDENT: run.settings["student"], **run.settings["learners"]}
    while len(specs) < run.needs.learners:
        specs[f"{STUDENT}{len(specs) + 1}"] = run.settings["student"]
    for name, spec in specs.items():
        path = STUDENT if name == STUDENT else f"learners.{name}"
        builder: Model = build("models", spec, path)  # type: ignore[assignment]
        with run.streams.applied(torch.device("cpu"), "init", name), hook_of(path, "build"):
            model = run.learners[name] = _placed(run, run.task.build(builder))
        run.taps[name] = FeatureRecorder(model, ())
        _probe(run, name, model, run.task.example())  # one that cannot take the data is found before teachers are trained


def _teachers(run: Run, made: Mapping[str, Teacher]) -> None:
    for name, described in made.items():
        if name in run.learners:
            raise RecipeError(f"teachers.{name} has the name of a learner; give it another name.")
        built = run.source.teachers.get(name) if described.frozen else None
        teacher = run.teachers[name] = built or described
        if built is None:
            with run.streams.applied(torch.device("cpu"), "init", name), hook_of(f"teachers.{name}", "build"):
                teacher.build(run)
            _placed(run, teacher)
            if teacher.frozen:
                run.source.teachers[name] = teacher
        if teacher.model is not None and _compared(run, name):
            with hook_of(f"teachers.{name}", "align"):
                run.task.align(run.student, teacher.model)
        teacher.eval().requires_grad_(teacher.trains)
        if teacher.trains and run.needs.teacher_mode == "train":
            teacher.train()


def _compared(run: Run, teacher: str) -> bool:
    """Whether a method compares this teacher's rows with the student's."""
    users = [label for label, need in run.own_needs.items() if need.teacher and need.aligned]
    return any(run.teacher_of(run.methods[label]) == teacher for label in users)


def _placed(run: Run, module: nn.Module) -> nn.Module:
    if run.settings["train"]["channels_last"]:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module.to(run.device)


def _taps(run: Run) -> None:
    """Resolve every declared tap on every model, and probe the models for shapes."""
    roles = {**run.learners, **{n: t.model for n, t in run.teachers.items() if t.model is not None}}
    wanted: dict[str, dict[str, None]] = {role: {} for role in roles}
    for label, method in run.methods.items():
        needs = run.own_needs[label]
        with hook_of(f"methods.{label}", "further_taps"):
            more = returned(method.further_taps(run), Taps, f"methods.{label}", "further_taps")
        student, teacher = (*needs.student_taps, *more.student), (*needs.teacher_taps, *more.teacher)
        teachers = [method.teacher or n for n in list(run.teachers)[:1]] if needs.teacher else []
        for role, specs in [*((r, student) for r in run.learners), *((t, teacher) for t in teachers)]:
            if specs and role not in roles:
                raise CapabilityError(f"methods.{label} taps features of teacher {role!r}, which has no model behind it.")
            keys = {key: path for spec in specs for key, path in tap_keys(label, role, roles[role], spec).items()}
            run.tap_keys[label, role] = keys
            wanted.setdefault(role, {}).update(dict.fromkeys(keys.values()))
    example = run.task.example()
    for role, model in roles.items():
        run.taps[role] = run.taps.get(role) or (
            run.source.recorder(role, model) if role in run.source.teachers else FeatureRecorder(model, ())
        )
        new = run.taps[role].add(list(wanted[role]))
        try:
            _probe(run, role, model, example)
        except BaseException:
            run.taps[role].drop(new)  # other runs may share the recorder, and have done nothing wrong
            raise


@torch.no_grad()
def _probe(run: Run, role: str, model: nn.Module, example: Any) -> None:
    was = model.training
    model.eval()
    try:
        output = run.forward(role, example, commit=False)
    except PluginError as error:
        if not isinstance(error.__cause__, RuntimeError | ValueError | IndexError):
            raise
        shape, said = getattr(example.inputs, "shape", None), " ".join(str(error.__cause__).split())
        raise CapabilityError(f"{role} cannot take this task's inputs (shape {tuple(shape or ())}): {said}") from error
    finally:
        model.train(was)
    silent = [spec for spec in run.taps[role].paths if spec not in output.features]
    if silent:
        raise CapabilityError(f"{role}: tap {', '.join(silent)} is never reached in a forward; tap a module that is called.")
    run.widths[role] = output.rows.width
    run.feature_shapes[role] = {spec: tuple(f.shape[1:]) for spec, f in output.features.items()}


def _setup_transforms(run: Run, method: Method) -> None:
    for slot in ("logits", "targets"):
        for number, transform in enumerate(getattr(method, slot)):
            with hook_of(f"methods.{method.label}.{slot}[{number}]", "setup"):
                transform.setup(run, method)


def _setup(run: Run) -> None:
    """Let methods build what they need, then make sure that they kept no model inside (law 8)."""
    models = {id(p) for m in [*run.learners.values(), *run.teachers.values()] for p in m.parameters()}
    for label, method in run.methods.items():
        with run.streams.applied(torch.device("cpu"), "init", "method", label), hook_of(f"methods.{label}", "setup"):
            method.setup(run)
            _setup_transforms(run, method)
        _placed(run, method)
        caught = [name for name, p in method.named_parameters() if id(p) in models]
        if caught:
            raise PluginError(f"methods.{label} holds a model's parameter ({caught[0]}); reach models through `run` instead.")
    for hook, what in (("deploy", "the deployed model"),):
        labels = [label for label, method in run.methods.items() if overrides(method, hook)]
        if len(labels) > 1:
            raise RecipeError(f"methods {' and '.join(labels)} both replace {what}; only one can: remove one of them.")
    if run.settings["train"]["compile"]:
        run.compiled = {name: torch.compile(model) for name, model in run.learners.items()}
        run.compiled |= {n: torch.compile(t.model) for n, t in run.teachers.items() if t.model is not None}
    assert MAIN not in run.needs.views, "the main view is always there"
    example = run.task.example()
    run.shares(example)  # every term's denominator is one that the task counts
