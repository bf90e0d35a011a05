"""Texts as token numbers: all of them encoded once, cut to batches that are padded to their longest text.

Shapes: N texts, B of a batch, T tokens of its longest one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdzoo import digests
from kdzoo.errors import RecipeError
from kdzoo_text.data.texts import Texts
from kdzoo_text.models.locate import fetched, place_of, quiet

CHUNK = 1000
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
OF_THE_LAST_CALL = ("truncation", "padding")
"""What a tokenizer's saved form says of how it was called, which `Tokenizer` decides anew each time."""


@dataclass(frozen=True)
class Encoded:
    """N texts, one after the other.

    Attributes:
        ids: all token numbers (S,), int64; types: 1 for those of a second text, or None where there is none.
        starts: where each text begins (N + 1,), on the CPU. pad: the number of the padding token.
        truncated: texts that were longer than allowed.
    """

    ids: Tensor
    types: Tensor | None
    starts: Tensor
    pad: int
    truncated: int

    @property
    def lengths(self) -> Tensor:
        """Tokens of each text (N,), on the CPU."""
        return self.starts.diff()

    def to(self, device: torch.device) -> Encoded:
        """The same with the tokens on a device."""
        return replace(self, ids=self.ids.to(device), types=None if self.types is None else self.types.to(device))

    def batch(self, place: Tensor, *, prefix: str = "") -> dict[str, Tensor]:
        """The texts at `place` (B,), padded on the right: `input_ids`, `attention_mask` and, for pairs, `token_type_ids`."""
        place = place.cpu()
        lengths, device = self.lengths[place], self.ids.device
        column = torch.arange(int(lengths.max()), device=device)
        mask = column < lengths.to(device)[:, None]
        flat = (self.starts[place].to(device)[:, None] + column).clamp_max(len(self.ids) - 1)
        found = {"input_ids": torch.where(mask, self.ids[flat], self.pad), "attention_mask": mask.long()}
        if self.types is not None:
            found["token_type_ids"] = torch.where(mask, self.types[flat], 0)
        return {prefix + name: tensor for name, tensor in found.items()}


class Tokenizer:
    """A tokenizer of the transformers library.

    Args:
        name: a folder, or a name, as for the model `hf`. pad: a token to pad with, for one that has none.
        longest: texts are cut to this many tokens, special ones included.

    Raises:
        MissingError: there is no copy of it on this machine. RecipeError: it has no token to pad with.
    """

    def __init__(self, name: str, *, pad: str | None, longest: int, download: bool) -> None:
        from transformers import AutoTokenizer

        self.name, self.longest = name, longest
        self.own: Any = fetched(
            "tokenizer", name, lambda place: AutoTokenizer.from_pretrained(place, local_files_only=not download)
        )
        if pad is not None:
            number = self.own.convert_tokens_to_ids(pad)
            if number is None or number == self.own.unk_token_id:
                raise RecipeError(f"task.pad: the tokenizer {name!r} has no token {pad!r}.")
            self.own.pad_token = pad
        if self.own.pad_token_id is None:
            end = self.own.eos_token
            raise RecipeError(
                f"the tokenizer {name!r} has no token to pad with; name one by task.pad"
                f"{f', for example task.pad={end!r}' if end else ''}."
            )

    @property
    def vocabulary(self) -> int:
        """Token numbers that there are."""
        return len(self.own)

    @property
    def pad(self) -> int:
        return int(self.own.pad_token_id)

    @property
    def fingerprint(self) -> str:
        """Hash of what the tokenizer does, as far as its saved form says it."""
        backend = getattr(self.own, "backend_tokenizer", None)
        if backend is None:
            return digests.of_text(f"{self.numbering} {self.own.pad_token} {self.longest}")
        whole = {key: part for key, part in json.loads(backend.to_str()).items() if key not in OF_THE_LAST_CALL}
        return digests.of_text(f"{json.dumps(whole)} {self.own.pad_token} {self.longest}")

    @property
    def numbering(self) -> str:
        """Hash of which token has which number."""
        return _numbering(self.own)

    def encode(self, texts: Texts) -> Encoded:
        """All texts, with special tokens, cut to the longest length allowed."""
        rows: list[Sequence[int]] = []
        types: list[Sequence[int]] = []
        truncated = 0
        for start in range(0, len(texts), CHUNK):
            part = slice(start, start + CHUNK)
            second = list(texts.second[part]) if texts.second is not None else None
            found = self.own(list(texts.first[part]), second, verbose=False, return_attention_mask=False)
            long = [place for place, row in enumerate(found["input_ids"]) if len(row) > self.longest]
            if long:
                truncated += len(long)
                found = self.own(
                    list(texts.first[part]),
                    second,
                    truncation=True,
                    max_length=self.longest,
                    verbose=False,
                    return_attention_mask=False,
                )
            rows += found["input_ids"]
            types += found.get("token_type_ids", []) if second is not None else []
        starts = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
        flat = torch.tensor([number for row in rows for number in row])
        kinds = torch.tensor([number for row in types for number in row]) if types else None
        return Encoded(flat, kinds, starts, self.pad, truncated)


def numbering_in(name: str) -> str | None:
    """The same of the tokenizer whose files lie in a model's folder; None where none do, or they cannot be read."""
    from transformers import AutoTokenizer

    folder = Path(place_of(name))
    if not any((folder / file).is_file() for file in VOCABULARIES):
        return None  # the library would make one up
    try:
        with quiet():
            return _numbering(AutoTokenizer.from_pretrained(str(folder), local_files_only=True))
    except (OSError, ValueError, KeyError):
        return None


def _numbering(tokenizer: Any) -> str:
    return digests.of_text(json.dumps(tokenizer.get_vocab(), sort_keys=True))
