"""Text classification: a text, or a pair of texts, has one label; or one score, which is predicted.

All texts are encoded once. A batch is padded to its longest text, and training puts texts of like length into one batch.
Padding never counts: models get a mask, and so do the methods that look at tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdzoo import digests
from kdzoo.data.splits import split
from kdzoo.errors import CapabilityError, RecipeError
from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Rows
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import NUMBER, Meter, Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import at_least
from kdzoo_text.data.encoding import Encoded, Tokenizer, numbering_in
from kdzoo_text.data.texts import TextSet
from kdzoo_text.inputs import TOKENS, cut, mask_of
from kdzoo_text.models.classifier import TextClassifier, call_classes, named_classes, width_of_logits, wrapped
from kdzoo_text.tasks.meters import ScoreMeter, TextMeter

Metric = Literal["accuracy", "f1", "mcc", "nll", "pearson", "spearman", "rmse"]
OF_SCORES = ("pearson", "spearman", "rmse")


class TextClassification(Task):
    """Classify texts, or predict a score of them.

    Args:
        data: where the texts come from.
        tokenizer: a folder or name, as for the model `hf`; usually that of the teacher.
        encodings: further tokenizers by name, for models that read another one (`encoding`).
        metric: the headline metric. GLUE's are accuracy, f1 (MRPC, QQP), mcc (CoLA) and pearson (STS-B).
        max_length: texts are cut to this many tokens; how many were, is in the results.
        train_size: keep a stratified subset of this many training texts, drawn with `subset_seed`; None keeps all.
        validation: share (or number) of the training texts held out to choose epochs; fixed, whatever the seed. Not used where
            the source has a validation part of its own.
        bucket: batches among which texts are sorted by length; 0 leaves the order random.
        pad: a token to pad with, for a tokenizer that has none.
        download: use the network for a tokenizer that is not on this machine yet.
    """

    unit = "texts"
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "vocabulary": 100, "pad": 0}
    heads = frozenset[str]()
    evaluation_batch = 128
    fixed_inputs = True

    def __init__(
        self,
        *,
        data: Data,
        tokenizer: str,
        encodings: Mapping[str, str] | None = None,
        metric: Metric = "accuracy",
        max_length: int = 128,
        train_size: int | None = None,
        subset_seed: int = 0,
        validation: float = 0.1,
        bucket: int = 50,
        pad: str | None = None,
        download: bool = False,
    ) -> None:
        at_least(0, validation=validation, bucket=bucket)
        at_least(4, max_length=max_length)
        self.data, self.tokenizer_name, self.encodings = data, tokenizer, dict(encodings or {})
        self.metric, self.higher_is_better = metric, metric not in ("nll", "rmse")
        self.max_length, self.bucket, self.pad_token, self.download = max_length, bucket, pad, download
        self.train_size, self.subset_seed = train_size, subset_seed
        self.validation = int(validation) if validation >= 1 else validation
        self.distributions = metric not in OF_SCORES
        classes = {"classes", "labels"} if self.distributions else set()
        self.capabilities = frozenset({"features", "index", "quiz", TOKENS} | classes)

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        """Hash of the texts, the labels, and what the tokenizers do."""
        self.root = root
        return self._fingerprint()

    def _fingerprint(self) -> str:
        parts = [self.set.fingerprint, *(f"{name} {own.fingerprint}" for name, own in self.tokenizers.items())]
        return digests.of_text(" ".join(parts))

    @cached_property
    def set(self) -> TextSet:
        texts = loaded(self.data, self.root, TextSet)
        if bool(texts.class_names) == (self.metric in OF_SCORES):
            what = "classes" if texts.class_names else "scores"
            raise RecipeError(f"task.metric is {self.metric!r}, but {texts.name} has {what}; choose a metric of {what}.")
        return texts

    @cached_property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """By the name of the encoding; '' is the main one."""
        names = {"": self.tokenizer_name, **self.encodings}
        return {
            key: Tokenizer(name, pad=self.pad_token if not key else None, longest=self.max_length, download=self.download)
            for key, name in names.items()
        }

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.root, self.streams, self.device = root, streams, device
        if needs.views:
            raise CapabilityError(f"texts have no further views ({', '.join(sorted(needs.views))}); remove the method.")
        parts = {name: texts.sorted() for name, texts in self.set.parts.items()}
        labels = parts["train"].labels
        try:
            self.places = split(
                labels if self.set.class_names else torch.zeros(len(labels), dtype=torch.int64),
                validation=0 if "validation" in parts else self.validation,
                train_size=self.train_size,
                subset_seed=self.subset_seed,
                parts=dict(needs.splits),
                parts_seed=streams.seed,
            )
        except ValueError as error:
            raise RecipeError(f"task: {error}") from None
        self.targets = {name: texts.labels.to(device) for name, texts in parts.items()}
        self.encoded = {
            name: {key: own.encode(texts).to(device) for key, own in self.tokenizers.items()} for name, texts in parts.items()
        }

    def size(self, split: str) -> int:
        if split in self.places:
            return len(self.places[split])
        return len(self.targets[split]) if split in self.targets else 0

    def order(self, epoch: int, streams: Streams, *, batch_size: int) -> Tensor:
        """Shuffled; sorted by length within `bucket` batches; then the whole batches shuffled again."""
        shuffled = streams.permutation(self.size("train"), "order", epoch)
        if not self.bucket:
            return shuffled
        length = self._main("train").lengths[self.places["train"]]
        pools = shuffled.split(self.bucket * batch_size)
        ordered = torch.cat([pool[length[pool].argsort(stable=True)] for pool in pools])
        batches = len(ordered) // batch_size
        places = streams.permutation(batches, "order", "batches", epoch)
        whole = ordered[: batches * batch_size].reshape(batches, batch_size)[places]
        return torch.cat([whole.flatten(), ordered[batches * batch_size :]])

    def _main(self, part: str) -> Encoded:
        return self.encoded[part][""]

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        for index in order:
            yield self._batch(split, index)

    def _batch(self, split: str, index: Tensor) -> Batch:
        if split in self.places:
            return self._texts("train", self.places[split][index.cpu()], index)
        return self._texts(split, index.cpu(), index)

    def _texts(self, part: str, place: Tensor, index: Tensor) -> Batch:
        """Texts of a part of the set, by their place in it."""
        inputs: dict[str, Tensor] = {}
        for key, encoded in self.encoded[part].items():
            inputs |= encoded.batch(place, prefix=f"{key}." if key else "")
        target = self.targets[part][place.to(self.device)]
        extra = {NUMBER: place} if part == "train" else {}
        return Batch(inputs, len(index), target, index.to(self.device), extra=extra, whole=len(index))

    def labels(self, split: str) -> Tensor:
        if split not in self.places:
            return self.targets[split]
        return self.targets["train"][self.places[split].to(self.device)]

    def pool(self) -> int:
        return len(self.targets["train"])

    def pooled(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        for place in order:
            yield self._texts("train", place.cpu(), place)

    def positions(self, batch: Batch, model: nn.Module) -> Tensor | None:
        encoding = getattr(model, "encoding", "")
        return mask_of(batch, encoding).bool()

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        return cut(batch, parts)

    def example(self) -> Batch:
        return self._batch("train", torch.arange(min(2, self.size("train"))))

    # -- models ------------------------------------------------------------------------------------------------------

    @property
    def classes(self) -> int:
        """Logits that a model gives: one for a score."""
        return len(self.set.class_names) or 1

    def build(self, model: Model) -> nn.Module:
        """A model that is trained here, so that its classes are those of the data, whatever they were called before."""
        return self._built(model, self.set.class_names)

    def build_teacher(self, model: Model) -> nn.Module:
        """A model that keeps the names of its classes, which `align` compares; one that only numbers them gets the data's."""
        return self._built(model, self.set.class_names, named=True)

    def sketch(self, model: Model) -> nn.Module:
        return wrapped(model(classes=2, vocabulary=100, pad=0))

    def build_for(self, model: Model, answers: Sequence[str]) -> nn.Module:
        return self._built(model, answers)

    def _built(self, model: Model, answers: Sequence[str], *, named: bool = False) -> nn.Module:
        main, logits = self.tokenizers[""], len(answers) or 1
        module = wrapped(model(classes=logits, vocabulary=main.vocabulary, pad=main.pad))
        self._check(module, logits)
        if not named or named_classes(module.model) is None:
            call_classes(module.model, answers)
        module.numbering = self.tokenizers[module.encoding].numbering
        module.origin = None  # a model is what it is, wherever its files are
        return module

    def _check(self, module: TextClassifier, logits: int) -> None:
        if module.encoding not in self.tokenizers:
            known = ", ".join(self.encodings) or "none"
            raise RecipeError(f"a model reads the encoding {module.encoding!r}, but task.encodings has {known}; add it there.")
        if width_of_logits(module.model) != logits:
            raise CapabilityError(
                f"the model tells {width_of_logits(module.model)} classes apart, this task asks for {logits}; "
                f"load it with num_labels={logits}."
            )
        words: Any = module.model.get_input_embeddings()  # type: ignore[operator]
        used = self.tokenizers[module.encoding]
        if words.num_embeddings < used.vocabulary:
            raise CapabilityError(
                f"the tokenizer {used.name!r} has {used.vocabulary} tokens, the model embeds {words.num_embeddings}; they do "
                "not belong together: set task.tokenizer, or the model's encoding."
            )
        theirs = None if module.origin in (None, used.name) else numbering_in(module.origin)
        if theirs not in (None, used.numbering):
            raise CapabilityError(
                f"the model of {module.origin!r} comes with a tokenizer that numbers tokens otherwise than {used.name!r}: set "
                f"task.tokenizer to it, or name it in task.encodings and give the model that encoding."
            )
        longest = module.positions
        if longest is not None and longest < self.max_length:
            raise CapabilityError(
                f"the model takes {longest} tokens, task.max_length is {self.max_length}; set it to {longest}."
            )
        config: Any = module.model.config
        if module.causal or config.pad_token_id is None:  # a decoder has to know where a text ends
            config.pad_token_id = used.pad
        if module.counts_from_pad and config.pad_token_id != used.pad:
            raise CapabilityError(
                f"the model counts positions from its token {config.pad_token_id}, the tokenizer {used.name!r} pads with "
                f"{used.pad}, so padding would move them: set task.tokenizer to the model's own, or task.pad."
            )

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        return Output(Rows(model(**batch.view(view)), batch.target))

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher whose classes have other names, or which was trained on other numbers of tokens."""
        if not isinstance(teacher, TextClassifier):
            return
        used = self.tokenizers.get(teacher.encoding)
        if used is not None and teacher.numbering not in (None, used.numbering):
            raise CapabilityError(
                f"the teacher was trained with a tokenizer that numbers tokens otherwise than {used.name!r}: use the same "
                "task.tokenizer in both recipes, or name the teacher's in task.encodings of both, and give its model that "
                "encoding."
            )
        theirs = named_classes(teacher.model)
        if theirs is not None and self.set.class_names and theirs != list(self.set.class_names):
            raise CapabilityError(
                f"the teacher calls its classes {', '.join(theirs)}, {self.set.name} has {', '.join(self.set.class_names)}; "
                "their order must agree: use a teacher trained on these data."
            )

    def supervised(self, output: Output) -> Tensor:
        """Cross-entropy with the labels, or the mean squared error of a score."""
        rows = output.rows
        assert rows.target is not None
        if not self.set.class_names:
            return F.mse_loss(rows.logits[:, 0], rows.target.to(rows.logits.dtype))
        return cross_entropy(rows.logits, rows.target, weight=rows.weight_of_labels)

    # -- results -----------------------------------------------------------------------------------------------------

    def meter(self, split: str) -> Meter:
        return TextMeter() if self.set.class_names else ScoreMeter()

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.set.name,
            "classes": self.classes,
            "sizes": {name: self.size(name) for name in {*self.places, *self.targets}},
            "tokenizer": self.tokenizer_name,
            "longest": {name: int(self._main(name).lengths.max()) for name in self.encoded},
            "truncated": {where: own.truncated for where, own in self._everywhere().items()},
            "fingerprint": self._fingerprint(),
        }

    def remarks(self) -> Sequence[str]:
        """What the source has to say, and how many texts are cut."""
        cut = [f"{own.truncated:,} of {len(own.lengths):,} in {w}" for w, own in self._everywhere().items() if own.truncated]
        return (*self.set.remarks, *([f"Texts longer than {self.max_length} tokens are cut: {', '.join(cut)}."] if cut else ()))

    def _everywhere(self) -> dict[str, Encoded]:
        """Each part in each encoding; `train` in the main one, `train, NAME` in another."""
        pairs = ((part, key, own) for part, by_key in self.encoded.items() for key, own in by_key.items())
        return {f"{part}, {key}" if key else part: own for part, key, own in pairs}

    def preprocessing(self) -> dict[str, Any]:
        others = {"encodings": self.encodings} if self.encodings else {}
        return {"tokenizer": self.tokenizer_name, "max_length": self.max_length, **others}

    def save_preprocessing(self, folder: Path, model: nn.Module) -> None:
        """The tokenizer of the model, as the transformers library saves it."""
        self.tokenizers[getattr(model, "encoding", "")].own.save_pretrained(str(folder))

    def free_axes(self) -> Mapping[int, tuple[str, int]]:
        return {1: ("length", self.max_length)}

    def class_names(self) -> Sequence[str] | None:
        opened = hasattr(self, "root")
        return (self.set.class_names if opened else getattr(self.data, "class_names", None)) or None

    def chance(self) -> float | None:
        """The accuracy of always guessing the most frequent class, in percent."""
        if self.metric != "accuracy":
            return None
        counts = torch.bincount(self.set.test.labels)
        return 100.0 * counts.max().item() / counts.sum().item()
