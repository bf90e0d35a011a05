"""Whether numbers are those that a run said, and what is otherwise now than it was then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdzoo.terminal.console import say, warn


def compare(metrics: Mapping[str, float], said: Mapping[str, float], differences: Sequence[str]) -> None:
    """Tell on standard error.

    Args:
        metrics, said: on test, now and in the run. differences: in words, see `Made.differences`.
    """
    other = [f"{name} {value!r} instead of {said[name]!r}" for name, value in metrics.items() if said.get(name) != value]
    since = f"Since the run: {'; '.join(differences)}."
    if other:
        reason = since if differences else "Nothing that the run recorded has changed."
        warn(f"this is not exactly what the run said: {', '.join(other)}. {reason}")
        return
    say("exactly what the run said.")
    if differences:
        say(since)
