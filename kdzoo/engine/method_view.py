"""What one method may see of a step: its declared taps, its head, its teacher, its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from kdzoo.errors import CapabilityError, did_you_mean
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Output, Rows, Step, map_tensors

TapKeys = Mapping[tuple[str, str], Mapping[str, str]]


def view(step: Step, method: Method, needs: Needs, taps: TapKeys) -> Step:
    """The step of one method."""
    label = method.label

    def seen(output: Output, role: str) -> Output:
        return _read(_declared(output, taps.get((label, role), {})), method)

    names = ([method.teacher] if method.teacher else list(step.teachers)) if needs.teacher else []
    return replace(
        step,
        batch=step.batch if needs.index else replace(step.batch, index=None),
        student=seen(step.student, step.learner),
        teachers={name: seen(step.teachers[name], name) for name in names},
        peers={name: seen(peer, name) for name, peer in step.peers.items()} if needs.learners > 1 else {},
        views={name: view(other, method, needs, taps) for name, other in step.views.items() if name in needs.views},
        label=label,
        stash=step.stash.setdefault(label, {}),
        _cache={},
    )


def joined(step: Step, join: Callable[[Tensor], Tensor]) -> Step:
    """The step over the joined batch of all processes."""

    def whole(output: Output) -> Output:
        return map_tensors(join, replace(output, rows=replace(output.rows, scores=output.rows.logits)))

    return replace(
        step,
        batch=map_tensors(join, replace(step.batch, answers={}, micros=())),
        samples=None if step.samples is None else join(step.samples),
        student=whole(step.student),
        teachers={name: whole(output) for name, output in step.teachers.items()},
        peers={name: whole(output) for name, output in step.peers.items()},
    )


def _declared(output: Output, keys: Mapping[str, str]) -> Output:
    if not keys and not output.features:
        return output
    return replace(output, features={key: output.features[tap] for key, tap in keys.items() if tap in output.features})


def _read(output: Output, method: Method) -> Output:
    """The output with the head that the method reads in the place of the main rows."""
    if not method.reads:
        return output
    rows = output.heads.get(method.reads)
    if not isinstance(rows, Rows):
        heads = [name for name, head in output.heads.items() if isinstance(head, Rows)]
        raise CapabilityError(
            f"methods.{method.label}.reads is {method.reads!r}, but there is no such head of rows; "
            f"{did_you_mean(method.reads, heads)}"
        )
    return replace(output, rows=rows, reads=method.reads)
