"""Sixty short questions in memory, a tokenizer of whole words made for them, and two tiny BERTs; nothing is fetched."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kdzoo_text.data.texts import TextSet, labeled, scored

from kdzoo import registry

OPENINGS = {"who": "person", "where": "place", "how many": "number"}
MIDDLES = ("wrote", "founded", "lives near", "is", "grows in", "came after the very old and quiet")
ENDS = ("the river", "rome", "the last book", "a small town in the north", "winter")
WORDS = sorted({word for text in (*OPENINGS, *MIDDLES, *ENDS) for word in text.split()})


def questions() -> list[tuple[str, str | None, str]]:
    """(question, None, class): 90 of 3 classes and 3 to 11 words."""
    return [(f"{o} {m} {e}", None, label) for o, label in OPENINGS.items() for m in MIDDLES for e in ENDS]


class TinyTexts:
    """Questions, or pairs of a question and an ending. Args: pairs: two texts a sample; scores: their lengths as scores."""

    kdzoo_kind = "data"

    def __init__(self, *, pairs: bool = False, scores: bool = False) -> None:
        self.pairs, self.scores = pairs, scores

    def load(self, root: Path | None = None) -> TextSet:
        rows = questions()
        if self.pairs:
            rows = [(text, ENDS[place % len(ENDS)], label) for place, (text, _, label) in enumerate(rows)]
        parts = {"train": rows[::2] + rows[1::8], "validation": rows[3::8], "test": rows[5::8] + rows[7::8]}
        if not self.scores:
            return labeled("tiny", parts)
        return scored("tiny", {part: [(a, b, str(len(a) / 10)) for a, b, _ in own] for part, own in parts.items()})


def make_tokenizer(folder: Path, *, pad: bool = True, extra: int = 0, backwards: bool = False) -> Path:
    """A tokenizer of the words above, saved as the transformers library saves it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *(reversed(WORDS) if backwards else WORDS),
        *(f"extra{n}" for n in range(extra)),
    ]
    own = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    own.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special: dict[str, Any] = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    special |= {"pad_token": "[PAD]"} if pad else {"eos_token": "[SEP]"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=own, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **special
    )
    made.save_pretrained(str(folder))
    return folder


SCRATCH = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
TOKENIZER = str(make_tokenizer(SCRATCH / "tokenizer"))
TASK: dict[str, Any] = {
    "use": "text_classification",
    "data": "tiny_texts",
    "tokenizer": TOKENIZER,
    "max_length": 16,
    "bucket": 2,
}
STUDENT: dict[str, Any] = {"use": "bert", "layers": 2, "width": 8, "heads": 2, "intermediate": 12, "positions": 16}
TEACHER: dict[str, Any] = {"use": "bert", "layers": 4, "width": 12, "heads": 2, "intermediate": 16, "positions": 16}
TRAIN = {"epochs": 2, "batch_size": 12}
TEXT: dict[str, Any] = {"task": TASK, "student": {**STUDENT, "dropout": 0.0}, "train": TRAIN}
DISTILLED: dict[str, Any] = {**TEXT, "teacher": {"use": "frozen", "model": TEACHER}}


def register() -> None:
    """The data, by name."""
    registry.register("data", "tiny_texts", TinyTexts)
