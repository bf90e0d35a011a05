"""Transformers for classification: any of the transformers library by name or folder, one cut from a teacher, one from scratch.

The task tells them `classes`, and of its tokenizer `vocabulary` and `pad`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from kdzoo.errors import RecipeError
from kdzoo.ranges import at_least, at_least_and_below
from kdzoo_text.models.classifier import TextClassifier, call_classes, freeze, initialize
from kdzoo_text.models.from_teacher import cut, narrowed
from kdzoo_text.models.locate import MINILM, fetched, files_of

Head = Literal["auto", "fresh"]


def hf(
    *,
    name: str,
    head: Head = "auto",
    dropout: float | None = None,
    freeze: Sequence[str] = (),
    encoding: str = "",
    download: bool = False,
    classes: int,
) -> nn.Module:
    """A sequence classifier of the transformers library.

    Args:
        name: a folder, or a name on the hub of which there is a copy on this machine. `all-MiniLM-L6-v2` is also read from the
            files that `kdzoo data fetch text` brings.
        head: `auto` keeps a classifier that is there, if it has the right number of classes, and starts a new one where there
            is none; `fresh` always starts a new one.
        dropout: of hidden states and attention; None keeps the model's own.
        freeze: globs of parameters that stay as they are, e.g. `*embeddings*`.
        encoding: which of the task's `encodings` it reads, if its tokenizer is not the task's.
        download: use the network for what is not on this machine yet.

    Raises:
        MissingError: there is no copy of it. RecipeError: its classifier has another number of classes.
    """
    return _finished(_loaded(name, classes, head=head, dropout=dropout, download=download), freeze, encoding, name)


def student_from_teacher(
    *,
    teacher: str,
    layers: Sequence[int],
    width: int | None = None,
    dropout: float | None = None,
    freeze: Sequence[str] = (),
    download: bool = False,
    classes: int,
) -> nn.Module:
    """A shallower copy of a transformer: its embeddings, some of its layers, its pooler and its classifier, if it fits.

    Args:
        teacher: a folder or name, as for `hf`.
        layers: which of its layers, counted from 1, in order: `[3, 6]`.
        width: of the hidden states; None is the teacher's. A smaller one keeps the leading units, and those of each head.
        dropout, freeze, download: as for `hf`.

    Raises RecipeError: a layer that is not there, or a width that the heads do not divide.
    """
    model = _loaded(teacher, classes, head="auto", dropout=dropout, download=download)
    cut(model, layers)
    if width is not None:
        model = narrowed(model, width)
    return _finished(model, freeze, "", teacher)


def bert(
    *,
    layers: int = 2,
    width: int = 128,
    heads: int = 2,
    intermediate: int | None = None,
    dropout: float = 0.1,
    positions: int = 512,
    vocabulary: int,
    pad: int,
    classes: int,
) -> nn.Module:
    """A BERT from scratch, on the vocabulary of the task's tokenizer.

    Args:
        layers, width, heads: of the encoder. intermediate: width inside its feed-forward layers; None is 4 widths.
        dropout: of hidden states and attention; 0.1 as in BERT. positions: longest text, in tokens.
    """
    at_least(1, layers=layers, width=width, heads=heads, positions=positions, intermediate=intermediate)
    at_least_and_below(0, 1, dropout=dropout)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads ({heads}), got {width}")
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=vocabulary,
        pad_token_id=pad,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width if intermediate is None else intermediate,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        max_position_embeddings=positions,
    )
    config.num_labels = classes
    return TextClassifier(BertForSequenceClassification(config))


def _loaded(name: str, classes: int, *, head: Head, dropout: float | None, download: bool) -> nn.Module:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    def load(place: str) -> tuple[nn.Module, Mapping[str, Any]]:
        config = AutoConfig.from_pretrained(place, local_files_only=not download)
        config.num_labels = classes
        if dropout is not None:
            _set_dropout(config, dropout)
        found: tuple[nn.Module, Mapping[str, Any]] = AutoModelForSequenceClassification.from_pretrained(
            place, config=config, local_files_only=not download, ignore_mismatched_sizes=True, output_loading_info=True
        )
        return found

    at_least_and_below(0, 1, dropout=dropout)
    model, info = fetched("model", name, load)
    parts: list[Any] = [model.config, *model.modules()]
    for part in parts:
        if hasattr(part, "name_or_path"):
            part.name_or_path = ""  # a model is what it is, wherever its files are
    base = str(getattr(model, "base_model_prefix", ""))
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    if head == "auto" and mismatched:
        raise RecipeError(
            f"name: the classifier of {name!r} does not have the {classes} classes of these data ({mismatched[0]} has another "
            "shape); use a model of these classes, or start a new classifier by head: fresh."
        )
    lacking = [key for key in info["missing_keys"] if key.startswith(f"{base}.")]
    if len(lacking) > 2:  # a pooler that a checkpoint leaves out is a weight and a bias
        raise RecipeError(f"name: {name!r} lacks weights of its encoder ({lacking[0]}, ...); its files are not complete.")
    if head == "fresh":
        for part, module in model.named_children():
            if part != base:
                initialize(model, module)
    if head == "fresh" or len(info["missing_keys"]) > len(lacking):  # the names belong to a classifier that is not there
        call_classes(model, [f"LABEL_{number}" for number in range(classes)])
    return model


def _set_dropout(config: Any, dropout: float) -> None:
    """Every rate of dropout that the configuration has, under whatever name."""
    for key in list(config.to_dict()):
        if "dropout" in key and isinstance(getattr(config, key), float | int) and not isinstance(getattr(config, key), bool):
            setattr(config, key, dropout)


def _finished(model: nn.Module, frozen: Sequence[str], encoding: str, origin: str) -> nn.Module:
    freeze(model, frozen)
    return TextClassifier(model, encoding=encoding, origin=origin)


def _named(settings: Mapping[str, Any], key: str) -> dict[str, Path]:
    return files_of(settings, key)


for _factory, _key in ((hf, "name"), (student_from_teacher, "teacher")):
    vars(_factory).update(wheel=MINILM, files=partial(_named, key=_key))
