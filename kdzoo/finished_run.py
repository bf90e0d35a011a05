"""A finished run in Python's hands: its numbers, the network that it trained, and a folder for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kdzoo.engine.results import Result

if TYPE_CHECKING:
    from torch import nn

    from kdzoo.export import Deployed, Format

Which = Literal["last", "best"]


@dataclass(frozen=True)
class FinishedRun(Result):
    """What `kdzoo.run` returns.

    Attributes:
        folder, identity: the run folder, and what distinguishes it. values: what `result.json` holds.
        settings: the resolved recipe, with the modules that were given in Python.
    """

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def model(self, which: Which = "last") -> nn.Module:
        """The trained network, on the CPU and in eval mode: a new copy with each call.

        Its inputs are normalized as `values["data"]` says (`mean` and `std`, of pixels in [0, 1]).

        Args: which: the `last` epoch's weights, or those of the epoch that was `best` on validation.

        Raises RecipeError: there is no such file, because no epoch was evaluated on validation.
        """
        return self._deployed(which).module()

    def export(
        self, out: str | Path | None = None, *, to: Format = "torch", which: Which = "last", force: bool = False
    ) -> Path:
        """Write the network for use elsewhere, as `kdzoo export` does; the file with the weights.

        Args:
            out: the folder; default `export` in the run folder.
            to: `torch` (a graph with its weights, for plain PyTorch), `safetensors` or `onnx`.
            force: write over an earlier export.

        Raises:
            RecipeError: the folder holds an export already, or the network cannot be exported so.
        """
        from kdzoo.export import export

        return export(self._deployed(which), Path(out) if out else self.folder / "export", to=to, force=force)

    def _deployed(self, which: Which) -> Deployed:
        from kdzoo.engine.launch import DEPLOYED
        from kdzoo.errors import RecipeError
        from kdzoo.export import Deployed

        if which not in ("last", "best"):
            raise RecipeError(f"which must be 'last' or 'best', got {which!r}.")
        file = self.folder / (DEPLOYED if which == "last" else "best.safetensors")
        if not file.is_file():
            raise RecipeError(f"There is no {file}: no epoch of this run was evaluated on validation; take which='last'.")
        return Deployed(file, self.settings, self.values["test"].get(which))
