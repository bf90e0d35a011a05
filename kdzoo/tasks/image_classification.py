"""Image classification: one label an image. Small sets live on the training device, large ones are streamed.

Augmentation depends on (seed, epoch, sample) alone, so every method sees the same pixels, on any device, in any batch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from kdzoo.data.augment import Augmentation, Crop, Flip, augmentation, normalize, strong
from kdzoo.data.image_reader import image_reader
from kdzoo.data.label_noise import noisy
from kdzoo.data.mixing import Mixing, mixed_labels
from kdzoo.data.rand_augment import RandAugment
from kdzoo.data.same_class import Classmates
from kdzoo.data.sets import Images, ImageSet
from kdzoo.data.splits import split
from kdzoo.data.streaming import Streamed, stream
from kdzoo.errors import CapabilityError, KdzooError, RecipeError
from kdzoo.functional.labels import cross_entropy
from kdzoo.protocol.blame import loaded
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import Batch, Output, Rows, map_tensors
from kdzoo.protocol.roles import Data
from kdzoo.protocol.task import NUMBER, Model, Task
from kdzoo.random import Streams
from kdzoo.ranges import above, at_least, between
from kdzoo.tasks.meters import ClassificationMeter, faithfulness
from kdzoo.teachers.normalization import words

SAME_CLASS = "same_class"
VIEWS = ("second", "strong", SAME_CLASS)
"""Further views of a sample: `second` is another draw of the same augmentation, `strong` a stronger one, `same_class` another
training image of its class, drawn anew each epoch (the sample itself if it is the only one)."""


class ImageClassification(Task):
    """Classify images.

    Args:
        data: where the images come from.
        train_size: keep a stratified subset of this many training images, drawn with `subset_seed`; None keeps all.
        validation: share (or number) of the training images held out to choose epochs; fixed, whatever the seed. Not used
            where the source has a validation part of its own.
        crop, flip, cutout: augmentation; None keeps what is usual for the data set (for CIFAR: crop 4 and flip; for image
            folders and one's own tensors: nothing).
        rand_augment: operations an image of RandAugment, at `magnitude` of 30; 0 is without (Cubuk et al. 2019: 2 and 9).
        mixup, cutmix: alpha of the Beta distribution of shares; 0 is without (Zhang et al. 2018: 0.2 on ImageNet; Yun et al.
            2019: 1). With both, each sample gets one of them, evenly. Labels become probabilities.
        label_noise: the probability with which a training label is replaced by another class; which ones, `subset_seed` says.
            Validation and test keep theirs.
        workers: processes that decode images of streamed sets.
    """

    metric = "top1"
    unit = "images"
    tells: ClassVar[Mapping[str, Any]] = {"classes": 10, "channels": 3, "size": 32}
    heads = frozenset[str]()
    higher_is_better = True
    views_offered = frozenset(VIEWS)
    bounds = (0.0, 100.0)
    capabilities = frozenset({"classes", "features", "index", "views", "quiz", "labels"})

    def __init__(
        self,
        *,
        data: Data,
        train_size: int | None = None,
        subset_seed: int = 0,
        validation: float = 0.1,
        crop: int | None = None,
        flip: bool | None = None,
        cutout: int = 0,
        rand_augment: int = 0,
        magnitude: int = 9,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        label_noise: float = 0.0,
        workers: int = 2,
    ) -> None:
        if not validation >= 0 or (validation > 1 and validation != int(validation)):
            raise ValueError(f"validation must be a share below 1 or a whole number of images, got {validation:g}")
        at_least(0, crop=crop, cutout=cutout, workers=workers, subset_seed=subset_seed, rand_augment=rand_augment)
        between(0, 1, label_noise=label_noise)
        above(0, train_size=train_size)
        self.data, self.train_size, self.subset_seed, self.validation = data, train_size, subset_seed, validation
        self.crop, self.flip, self.cutout, self.workers = crop, flip, cutout, workers
        policy = RandAugment(rand_augment or 1, magnitude)
        self.policy = policy if rand_augment else None
        self.mixing, self.label_noise = Mixing(mixup, cutmix), label_noise
        if self.mixing:  # a label is then a mixture of classes
            self.capabilities = self.capabilities - {"labels"}
        usual = getattr(data, "augment", None)
        self.changing = self._changing(usual.steps if isinstance(usual, Augmentation) else ())

    # -- data --------------------------------------------------------------------------------------------------------

    def fingerprint(self, root: Path | None) -> str:
        """Hash of the data's content."""
        self.root = root
        return self.set.fingerprint

    def open(self, *, needs: Needs, streams: Streams, device: torch.device, root: Path | None) -> None:
        self.root, self.streams, self.device = root, streams, device
        self.views = sorted(needs.views)
        if isinstance(self.set.train.images, Streamed):
            self._check_streamed()
        own = self.set.validation
        try:
            self.places = split(
                self.set.train.labels,
                validation=0 if own is not None else _whole(self.validation),
                train_size=self.train_size,
                subset_seed=self.subset_seed,
                parts=dict(needs.splits),
                parts_seed=streams.seed,
            )
        except ValueError as error:
            raise RecipeError(f"task: {error}") from None
        self.parts = {"train": self.set.train.to(device), "test": self.set.test.to(device)}
        self.parts |= {"validation": own.to(device)} if own is not None else {}
        self.places = {name: index.to(device) for name, index in self.places.items()}
        self._spoil_labels()
        if self.mixing and self.views:
            raise CapabilityError(
                f"task.mixup and task.cutmix change the sample and its label, not its further views ({', '.join(self.views)}), "
                "which a method of this recipe needs: leave them out, or the method."
            )
        self.changing = self._changing(self.set.augment.steps)
        self.fixed_inputs = isinstance(self.set.train.images, Tensor) and not self.weak.steps and not self.mixing
        if SAME_CLASS in self.views:
            self.classmates = Classmates(self.parts["train"].labels[self.places["train"]])

    def _changing(self, usual: Sequence[Any]) -> tuple[str, ...]:
        """The settings of augmentation that act, where a data set has this usual one."""
        acts = {
            "crop": self.crop if self.crop is not None else any(isinstance(step, Crop) for step in usual),
            "flip": self.flip if self.flip is not None else any(isinstance(step, Flip) for step in usual),
            "cutout": self.cutout,
            "rand_augment": self.policy,
            "mixup": self.mixing.mixup,
            "cutmix": self.mixing.cutmix,
        }
        return tuple(setting for setting, value in acts.items() if value)

    def _spoil_labels(self) -> None:
        """Replace training labels, where the recipe wants noise; those held out for validation stay."""
        if not self.label_noise:
            return
        part = self.parts["train"]
        found = noisy(part.labels, self.label_noise, classes=self.set.classes, seed=self.subset_seed)
        if (held_out := self.places.get("validation")) is not None:
            found[held_out] = part.labels[held_out]
        self.spoiled = int((found != part.labels)[self.places["train"]].sum())
        self.parts["train"] = replace(part, labels=found)

    def _check_streamed(self) -> None:
        if self.crop or self.cutout:
            raise RecipeError(
                "task.crop and task.cutout are for sets that fit into memory; streamed images get random windows instead "
                "(task.data.augment=true): remove them, or raise task.data.in_memory_mb."
            )
        if self.views:
            raise CapabilityError("further views of streamed images are not offered; raise task.data.in_memory_mb.")

    @cached_property
    def set(self) -> ImageSet:
        return loaded(self.data, self.root, ImageSet)

    @cached_property
    def weak(self) -> Augmentation:
        """The recipe's augmentation, or the data set's usual one."""
        usual = self.set.augment.steps
        if self.crop is None and self.flip is None and not self.cutout and not self.policy:
            return self.set.augment
        crops = [step.padding for step in usual if isinstance(step, Crop)]
        flips = any(isinstance(step, Flip) for step in usual)
        return augmentation(
            crop=max(crops, default=0) if self.crop is None else self.crop,
            flip=flips if self.flip is None else self.flip,
            cutout=self.cutout,
            fill=self.set.mean,
            policy=self.policy,
        )

    @cached_property
    def augmentations(self) -> dict[str, Augmentation]:
        stronger = strong(self.weak, shape=self.set.shape, fill=self.set.mean)
        return {"second": self.weak, "strong": stronger, SAME_CLASS: self.weak}

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation per channel, on the device."""
        return torch.tensor(self.set.mean, device=self.device), torch.tensor(self.set.std, device=self.device)

    def size(self, split: str) -> int:
        if split in self.places:
            return len(self.places[split])
        return len(self.parts[split]) if split in self.parts else 0

    def batches(self, split: str, order: Sequence[Tensor], *, epoch: int, train: bool) -> Iterator[Batch]:
        part = self.parts.get(split, self.parts["train"])
        if isinstance(part.images, Tensor):
            for index in order:
                yield self._batch(part.images, part.labels, split, index, epoch, train)
        else:
            yield from self._streamed(part, split, order, epoch, train)

    def _batch(self, images: Tensor, labels: Tensor, split: str, index: Tensor, epoch: int, train: bool) -> Batch:
        index = index.to(self.device)
        place = self.places[split][index] if split in self.places else index
        views = {name: self._view(images, place, name, index, epoch) for name in self.views} if train else {}
        made = self._assembled(self._augmented(images[place], index, epoch, train), labels[place], index, views)
        if split in self.places and self.fixed_inputs:
            made = replace(made, extra={NUMBER: place})
        if not (train and self._mixes(split)):
            return made
        partner, numbers = self._partner(split, index, epoch)
        other = self.places[split][partner]
        return self._mixed(made, self._inputs(self._augmented(images[other], partner, epoch, True)), labels[other], numbers)

    def _augmented(self, pixels: Tensor, index: Tensor, epoch: int, train: bool) -> Tensor:
        if not (train and self.weak.steps):
            return pixels
        return self.weak(pixels, self.streams.uniform(index, self.weak.draws, "augment", epoch))

    def _mixes(self, split: str) -> bool:
        return bool(self.mixing) and split == "train"

    def _partner(self, split: str, index: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """The sample that each one is mixed with, (B,), and the numbers that say how."""
        numbers = self.streams.uniform(index, self.mixing.draws, "mixing", epoch)
        return self.mixing.partner(numbers, self.size(split)), numbers

    def _mixed(self, batch: Batch, others: Tensor, labels: Tensor, numbers: Tensor) -> Batch:
        assert batch.target is not None
        inputs, share = self.mixing(batch.inputs, others, numbers)
        return replace(batch, inputs=inputs, target=mixed_labels(batch.target, labels, share, self.set.classes))

    def labels(self, split: str) -> Tensor:
        part = self.parts.get(split, self.parts["train"])
        return part.labels[self.places[split]] if split in self.places else part.labels

    def pool(self) -> int:
        return len(self.parts["train"]) if self.fixed_inputs else 0

    def pooled(self, order: Sequence[Tensor]) -> Iterator[Batch]:
        part = self.parts["train"]
        assert isinstance(part.images, Tensor)
        for place in order:
            place = place.to(self.device)
            made = self._assembled(part.images[place], part.labels[place], place, {})
            yield replace(made, extra={NUMBER: place})

    def _view(self, images: Tensor, place: Tensor, name: str, index: Tensor, epoch: int) -> Tensor:
        if name == SAME_CLASS:
            place = self.places["train"][self.classmates.of(index, self.streams.uniform(index, 1, SAME_CLASS, epoch)[:, 0])]
        augment = self.augmentations[name]
        return self._inputs(augment(images[place], self.streams.uniform(index, augment.draws, "augment", name, epoch)))

    def _streamed(self, part: Images, split: str, order: Sequence[Tensor], epoch: int, train: bool) -> Iterator[Batch]:
        """Decoded on demand; random windows in place of the crop, where the data set has them, and the other augmentation."""
        assert isinstance(part.images, Streamed)
        places = self.places.get(split, torch.arange(len(part), device=self.device))
        position = torch.zeros(len(part), dtype=torch.int64).scatter_(0, places.cpu(), torch.arange(len(places)))
        draws = part.images.draws

        def window(place: Tensor) -> Tensor:
            return self.streams.uniform(position[place], draws, "augment", epoch)

        mixes = train and self._mixes(split)
        order = [index.to(self.device) for index in order]
        partners = [self._partner(split, index, epoch) for index in order] if mixes else []
        wanted = [torch.cat([index, partner]) for index, (partner, _) in zip(order, partners, strict=True)] if mixes else order
        decoded = stream(
            part.images,
            [places[index].cpu() for index in wanted],
            uniform=window if train and part.images.windows else None,
            workers=self.workers if len(order) > 1 else 0,
            pin_memory=self.device.type == "cuda",
        )
        for number, (index, (pixels, _)) in enumerate(zip(wanted, decoded, strict=True)):
            pixels = pixels.to(self.device, non_blocking=True)
            for step in self.weak.steps if train else ():
                pixels = step(pixels, self.streams.uniform(index, step.draws, "augment", "mirror", epoch))
            labels, own = part.labels[places[index]], order[number]
            batch = self._assembled(pixels[: len(own)], labels[: len(own)], own, {})
            yield (
                self._mixed(batch, self._inputs(pixels[len(own) :]), labels[len(own) :], partners[number][1])
                if mixes
                else batch
            )

    def _assembled(self, pixels: Tensor, labels: Tensor, index: Tensor, views: dict[str, Tensor]) -> Batch:
        return Batch(inputs=self._inputs(pixels), size=len(index), target=labels, index=index, views=views, whole=len(index))

    def _inputs(self, pixels: Tensor) -> Tensor:
        return normalize(pixels, *self.statistics).to(torch.get_default_dtype())

    def split(self, batch: Batch, parts: int) -> Sequence[Batch]:
        if parts <= 1 or batch.size <= 1:
            return (batch,)
        cuts = torch.arange(batch.size).tensor_split(min(parts, batch.size))
        whole = batch.whole

        def piece(start: int, stop: int) -> Batch:
            cut = map_tensors(lambda t: t[start:stop] if t.ndim and t.shape[0] == batch.size else t, batch)
            return Batch(**{**vars(cut), "size": stop - start, "whole": whole})

        return tuple(piece(int(cut[0]), int(cut[-1]) + 1) for cut in cuts)

    def example(self) -> Batch:
        part = self.parts["train"]
        index = torch.arange(min(2, self.size("train")), device=self.device)
        if isinstance(part.images, Tensor):
            return self._batch(part.images, part.labels, "train", index, 0, False)
        return next(iter(self._streamed(part, "train", [index], 0, False)))

    # -- models ------------------------------------------------------------------------------------------------------

    def build(self, model: Model) -> nn.Module:
        return self._built(model, self.set.classes)

    def sketch(self, model: Model) -> nn.Module | None:
        declared = getattr(self.data, "declares", {})
        try:
            return model(**{**self.tells, **declared})
        except KdzooError as error:
            said = set(re.findall(r"\w+", f"{error} {error.__cause__}"))
            if said & (self.tells.keys() - declared.keys()):
                return None  # the complaint is about what only the data know
            raise

    def build_for(self, model: Model, answers: Sequence[str]) -> nn.Module:
        return self._built(model, len(answers))

    def _built(self, model: Model, classes: int) -> nn.Module:
        channels, height, width = self.set.shape
        return model(classes=classes, channels=channels, size=max(height, width))

    def forward(self, model: Callable[..., Any], batch: Batch, view: str) -> Output:
        logits = model(batch.view(view))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CapabilityError(f"an image classifier must return logits (images, classes), this model returned {found}.")
        return Output(Rows(logits, batch.target))

    def align(self, student: nn.Module, teacher: nn.Module) -> None:
        """Refuse a teacher with another number of classes."""
        example = self.example().inputs
        widths = []
        for model in (student, teacher):
            was = model.training
            model.eval()
            with torch.no_grad():
                widths.append(model(example).shape[-1])
            model.train(was)
        if widths[0] != widths[1]:
            raise CapabilityError(
                f"the teacher tells {widths[1]} classes apart, the student {widths[0]}; distillation compares the "
                "same classes: use a teacher trained on this data set."
            )

    def supervised(self, output: Output) -> Tensor:
        """Cross-entropy with the labels, which may be soft."""
        assert output.rows.target is not None
        return cross_entropy(output.rows.logits, output.rows.target, weight=output.rows.weight_of_labels)

    def meter(self, split: str) -> ClassificationMeter:
        return ClassificationMeter()

    def fidelity(self, own: Mapping[str, Tensor], teacher: Mapping[str, Tensor]) -> dict[str, float]:
        """Agreement in percent, of all images and of those that the teacher gets wrong, and KL from the teacher, in nats."""
        return faithfulness(own["logits"], teacher["logits"], own["target"])

    def facts(self) -> dict[str, Any]:
        sizes = {name: self.size(name) for name in {*self.places, *self.parts}}
        shape = list(self.set.shape)
        return {"classes": self.set.classes, "shape": shape, "sizes": sizes, "fingerprint": self.set.fingerprint}

    def remarks(self) -> Sequence[str]:
        """How images are normalized, as a teacher from elsewhere may have been trained on others; how many labels are wrong."""
        wrong = (
            f"Label noise: {self.spoiled} of {self.size('train')} training labels were replaced." if self.label_noise else ""
        )
        return (
            f"Images are normalized by (pixel - mean) / sd, pixels in [0, 1]: mean {words(self.set.mean)}, sd "
            f"{words(self.set.std)}, {self.set.statistics}. A teacher that was trained with others takes teacher.mean and "
            "teacher.sd.",
            *([wrong] if wrong else []),
        )

    def preprocessing(self) -> dict[str, Any]:
        """Pixels in [0, 1] become inputs by `(pixel - mean) / std` for each channel."""
        return {"mean": list(self.set.mean), "std": list(self.set.std)}

    def reading(self) -> str:
        return image_reader(self.set)

    def class_names(self) -> Sequence[str] | None:
        opened = hasattr(self, "root")
        return self.set.class_names if opened else getattr(self.data, "class_names", None)

    def chance(self) -> float:
        """The headline metric of guessing: the share of the most frequent class, in percent."""
        counts = torch.bincount(self.set.test.labels.cpu())
        return 100.0 * counts.max().item() / counts.sum().item()


def _whole(validation: float) -> float:
    """1 and above are numbers of images, below a share."""
    return int(validation) if validation >= 1 else validation
