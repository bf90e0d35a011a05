"""Named taps: what a feature is called, and which module computes it.

A model may carry three plain attributes; all of them are optional:

- `taps`: tap name -> module path, in forward order. The path means the output of that module, or its input where it ends in
  `:input`, or an entry of it in brackets (`[1]`, `[name]`) where it is a tuple or mapping; a module that runs several times
  in one forward is tapped at its last run. The usual names are `stem`, `stage1` .. `stageN` (the map after the stage's ReLU),
  `stage1.preact` .. (the same map before it), `classified` (the map whose mean the classifier reads, where layers stand between
  the last stage and the pooling), `pooled` (the vector (B, d) before the classifier) and `logits`.
- `norms`: stage name -> path of the BatchNorm whose output enters that stage's `preact` (OFD's margins are computed from it).
- `classifier_path`: path of the last linear layer, for methods that reuse a teacher's classifier (SRRL, SimKD).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import nn

from kdzoo.errors import PluginError, RecipeError, nearest

INPUT = ":input"
CLASSIFIED = "classified"


class StageTaps(NamedTuple):
    """The paths of one stage: its map, the map before the last ReLU, and the BatchNorm that feeds the latter."""

    plain: str
    preact: str | None = None
    norm: str | None = None


def name_taps(
    module: nn.Module,
    *,
    stem: str | None,
    stages: Sequence[StageTaps],
    pooled: str,
    classifier: str,
    classified: str | None = None,
) -> None:
    """Set `taps`, `norms` and `classifier_path` on `module`; `logits` is the classifier's output.

    `classified` is the path of the map that is pooled for the classifier; it is needed where that is not the last stage.
    """
    taps = {} if stem is None else {"stem": stem}
    norms = {}
    for number, stage in enumerate(stages, start=1):
        taps[f"stage{number}"] = stage.plain
        if stage.preact is not None:
            taps[f"stage{number}.preact"] = stage.preact
        if stage.norm is not None:
            norms[f"stage{number}"] = stage.norm
    if classified is not None:
        taps[CLASSIFIED] = classified
    attributes = {"taps": taps | {"pooled": pooled, "logits": classifier}, "norms": norms, "classifier_path": classifier}
    for name, value in attributes.items():
        setattr(module, name, value)


def named_taps(module: nn.Module) -> dict[str, str]:
    """The names that `module` gives to its features; empty for a model that names none."""
    return _names(module, "taps")


class Tap(NamedTuple):
    """Where a feature is found: the module, whether its input is meant, and the way into a tuple or mapping that it gives."""

    path: str
    is_input: bool
    keys: tuple[int | str, ...] = ()


def resolve(module: nn.Module, spec: str) -> Tap:
    """Where the feature is that `spec` means.

    `spec` is a tap name or a module path, optionally followed by `:input`, and by `[1]` or `[name]` for a module that gives a
    tuple or a mapping: `encoder.layer.0.attention[1]`. Raises RecipeError with the nearest names, and
    PluginError if the model's own `taps` point nowhere.
    """
    outer, keys = _into(spec)
    name = outer.removesuffix(INPUT)
    taps = named_taps(module)
    target, inner = _into(taps.get(name, name))
    path = target.removesuffix(INPUT)
    if path in dict(module.named_modules()):
        return Tap(path, outer.endswith(INPUT) or target.endswith(INPUT), inner + keys)
    if name in taps:
        raise PluginError(
            f"{_kind(module)} maps its tap {name!r} to {target!r}, which is none of its modules; correct its `taps`."
        )
    raise RecipeError(f"{_kind(module)} has neither a tap nor a module called {spec!r}; {_near(module, name)}")


def _into(spec: str) -> tuple[str, tuple[int | str, ...]]:
    """`path[1][name]` as the path and its keys."""
    path, *keys = re.split(r"\[([^\]]*)\]", spec)
    return path, tuple(int(key) if key.isdigit() else key for key in keys if key)


def expand(module: nn.Module, specs: Sequence[str]) -> tuple[str, ...]:
    """`specs` with the groups written out: `stages` is every stage of the model and `last` the last of them.

    Both also exist before the ReLU: `stages.preact`, `last.preact`. `classified` is the map that is pooled for the classifier:
    the tap of that name, or the last stage of a model that does not name one. Everything else is kept as it is; repetitions are
    dropped. Raises RecipeError if the model has no such stage.
    """
    return tuple(dict.fromkeys(name for spec in specs for name in _group(module, spec)))


def classifier_of(module: nn.Module) -> nn.Linear:
    """The last linear layer of `module`, which maps `pooled` to `logits`; RecipeError if the model does not name one."""
    path = getattr(module, "classifier_path", None)
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    if path in layers:
        return layers[path]
    raise RecipeError(
        f"{_kind(module)} does not say which linear layer is its classifier (classifier_path is {path!r}); "
        f"set `classifier_path` on the model. Its linear layers are {_listed(list(layers)[-5:])}."
    )


def norm_of(module: nn.Module, stage: str) -> nn.Module:
    """The BatchNorm whose output enters `<stage>.preact`; RecipeError if the model does not name one."""
    norms = _names(module, "norms")
    if stage in norms:
        return module.get_submodule(norms[stage])
    raise RecipeError(
        f"{_kind(module)} names no BatchNorm before the last ReLU of {stage!r} (`norms` has {_listed(norms)}); "
        "choose another stage or model, or set `norms` on the model."
    )


def _names(module: nn.Module, attribute: str) -> dict[str, str]:
    value = getattr(module, attribute, None)
    return dict(value) if isinstance(value, Mapping) else {}


def _group(module: nn.Module, spec: str) -> list[str]:
    if spec == CLASSIFIED and CLASSIFIED not in named_taps(module):
        spec = "last"
    group, dot, variant = spec.partition(".")
    if group not in ("stages", "last") or variant not in ("", "preact"):
        return [spec]
    pattern = re.compile(rf"stage\d+{re.escape(dot + variant)}")
    found = [name for name in named_taps(module) if pattern.fullmatch(name)]
    if not found:
        raise RecipeError(f"{_kind(module)} has no taps for {spec!r}; {_near(module, '')}")
    return found if group == "stages" else found[-1:]


def _near(module: nn.Module, name: str) -> str:
    """What could have been meant. Without named taps that is module paths, and how to name them."""
    taps = named_taps(module)
    paths = [path for path, _ in module.named_modules() if path]
    close = nearest(name, [*taps, *paths])
    if taps:
        return f"did you mean {_listed(close)}?" if close else f"its taps are {_listed(taps)}."
    return (
        f"the model names no taps, so name a module path such as {_listed(close or paths[:8])}, "
        "or set a dictionary `taps` (name -> module path) on the model."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"


def _kind(module: nn.Module) -> str:
    return f"the model {type(module).__name__}"
