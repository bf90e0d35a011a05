"""FeatureRecorder: named features of a model, recorded by forward hooks while the engine runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from kdzoo.errors import CapabilityError
from kdzoo.models.tap_names import Tap, resolve


class FeatureRecorder:
    """Records the outputs (or inputs) of some modules of one model.

    A tap before an in-place operation would be overwritten silently; `recording` notices by the tensor's version counter
    and clones that tap from then on. The engine probes every model before training, so the ordinary step is never caught.
    """

    def __init__(self, model: nn.Module, specs: Sequence[str]) -> None:
        self.model = model
        self.paths: dict[str, Tap] = {}
        self.cloned: set[str] = set()
        self._features: dict[str, Tensor] | None = None
        self._versions: dict[str, int] = {}
        self.add(specs)

    def add(self, specs: Sequence[str]) -> list[str]:
        """Record these taps as well; those that are new."""
        new = [spec for spec in dict.fromkeys(specs) if spec not in self.paths]
        for spec in new:
            tap = self.paths[spec] = resolve(self.model, spec)
            module = self.model.get_submodule(tap.path)
            if tap.is_input:
                module.register_forward_pre_hook(lambda _, args, spec=spec: self._record(spec, args[0]))
            else:
                module.register_forward_hook(lambda _, __, output, spec=spec: self._record(spec, output))
        return new

    def drop(self, specs: Sequence[str]) -> None:
        """Record these no longer."""
        for spec in specs:
            self.paths.pop(spec, None)

    def _record(self, spec: str, value: Any) -> None:
        if self._features is None or spec not in self.paths:
            return
        for key in self.paths[spec].keys:
            value = _entry(value, key, spec)
        if not isinstance(value, Tensor):
            raise CapabilityError(
                f"tap {spec!r} gives a {type(value).__name__}, not a tensor; tap an entry of it ({spec}[0]), "
                "or a module inside it whose output is one tensor."
            )
        kept = value.clone() if spec in self.cloned else value
        self._features[spec] = kept
        self._versions[spec] = kept._version

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Collect features by spec during one forward, in the order of the specs once it is over."""
        features: dict[str, Tensor] = {}
        self._features = features
        try:
            yield features
        finally:
            self._features = None
        overwritten = {spec for spec, value in features.items() if value._version != self._versions[spec]}
        if overwritten:
            self.cloned |= overwritten
            raise Overwritten(", ".join(sorted(overwritten)))
        for spec in self.paths:
            if spec in features:
                features[spec] = features.pop(spec)


def _entry(value: Any, key: int | str, spec: str) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        known = (
            f"its keys are {', '.join(map(str, value))}" if isinstance(value, Mapping) else f"it is a {type(value).__name__}"
        )
        length = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
        raise CapabilityError(f"tap {spec!r}: there is no entry {key!r} in what the module gives; {known}{length}.") from None


class Overwritten(Exception):
    """A tapped tensor was changed in place after it was recorded; the tap is cloned from now on, so run again."""
