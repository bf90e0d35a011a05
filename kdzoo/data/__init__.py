"""Image data: sources, fixed splits, batched augmentation, streaming.

A source is a class with keyword-only settings and `load(root) -> ImageSet`, found through the entry-point group `kdzoo.data`.
"""

from kdzoo.data.augment import Augmentation, Crop, Cutout, Flip, Jitter, augmentation, normalize, strong
from kdzoo.data.sets import Images, ImageSet
from kdzoo.data.splits import split
from kdzoo.data.streaming import Decoder, Streamed, stream
from kdzoo.data.tensors import Tensors

__all__ = [
    "Augmentation",
    "Crop",
    "Cutout",
    "Decoder",
    "Flip",
    "ImageSet",
    "Images",
    "Jitter",
    "Streamed",
    "Tensors",
    "augmentation",
    "normalize",
    "split",
    "stream",
    "strong",
]
