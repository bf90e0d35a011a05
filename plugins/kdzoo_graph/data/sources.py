"""Where link prediction's triples come from: a folder or archive of one's own, and the usual benchmarks.

Nations, UMLS and Kinships come inside PyKEEN's wheel (MIT; the extra `graph`), and are read from there without importing it.
They and FB15k-237 (Toutanova, Chen, 2015) and WN18RR (Dettmers et al., AAAI 2018) are also read from the archives of the ConvE
repository, in `paths.data` or the other usual places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from kdzoo.data.search_paths import Availability, Search
from kdzoo.errors import RecipeError
from kdzoo.extras import command
from kdzoo.protocol.roles import Existing
from kdzoo_graph.data.files import ARCHIVES, availability, contents, is_archive, listed
from kdzoo_graph.data.triples import Triples, numbered, parse

PARTS = {"train": ("train",), "validation": ("valid", "validation", "dev"), "test": ("test",)}
NEEDED = "train.txt, valid.txt and test.txt"


class TriplesFolder:
    """Triples of one's own.

    Args:
        folder: a folder or archive with train, test and, for choosing epochs, valid: `.txt` or `.tsv`, one triple a line.
    """

    kdzoo_kind = "data"

    def __init__(self, *, folder: str) -> None:
        self.folder = folder

    def load(self, root: Path | None = None) -> Triples:
        place = Path(self.folder).expanduser()
        place = place if place.is_absolute() or place.exists() or root is None else root / place
        if not place.is_dir() and not is_archive(place):
            raise RecipeError(f"task.data.folder: there is no folder or archive {place}; expected one with {NEEDED}.")
        return read(place.name, place)

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        return Availability("triples", None, "", None, "", f"write {NEEDED}, and name their folder by task.data.folder")


def read(name: str, place: Path) -> Triples:
    """The triples of a folder or archive. Raises RecipeError where a part is missing or malformed."""
    files = _files(place)
    missing = [part for part in ("train", "test") if part not in files]
    if missing:
        raise RecipeError(f"{place} has no {missing[0]}.txt; expected {NEEDED}, one triple a line.")
    facts = {part: parse(text, f"{place / files[part]}") for part, text in contents(place, files).items()}
    return numbered(name, facts)


def _files(place: Path) -> dict[str, str]:
    """part -> its file, the one nearest to the top."""
    names = sorted(listed(place), key=lambda name: (name.count("/"), name))
    known = {f"{stem}{end}": part for part, stems in PARTS.items() for stem in stems for end in (".txt", ".tsv")}
    found = [(known[Path(name).name], name) for name in reversed(names) if Path(name).name in known]
    return dict(found)


@dataclass(frozen=True)
class Benchmark:
    """A published data set: its name, the names of its folder or archive, its sizes, and how to get it."""

    name: str
    folders: Sequence[str]
    entities: int
    train: int
    get: str
    license: str

    @property
    def places(self) -> list[str]:
        """What its folder or archive may be called."""
        return [folder + end for folder in self.folders for end in ("", *ARCHIVES)]

    def search(self) -> Search:
        return Search(self.name, f"{NEEDED} in a folder or archive {self.folders[0]}", self.get, self.places, _pykeen())

    def find(self, folder: str | None, root: Path | None) -> Path | None:
        """The first complete place that is called as it should be; one that the user names may be called anything."""

        def look(place: Path) -> Path | None:
            return place if (folder or place.name in self.places) and _complete(place) else None

        return self.search().first(look, folder, root)

    def load(self, folder: str | None, root: Path | None) -> Triples:
        found = self.find(folder, root)
        if found is None:
            raise self.search().missing(folder, root)
        triples = read(self.name, found)
        if (len(triples.entities), len(triples.train)) != (self.entities, self.train):
            raise RecipeError(
                f"{found} is not {self.name}: it has {len(triples.entities)} entities and {len(triples.train)} training "
                f"triples, expected {self.entities} and {self.train}; use data: {{use: triples, folder: ...}} for other data."
            )
        return triples

    def available(self, root: Path | None) -> Availability:
        return availability(self.name, self.find(None, root), license=self.license, get=self.get)


def _complete(place: Path) -> bool:
    """Whether a folder or archive has all parts in it."""
    return (place.is_dir() or is_archive(place)) and len(_files(place)) == len(PARTS)


def _pykeen() -> tuple[Path, ...]:
    """The folder of the data sets inside PyKEEN's package."""
    spec = find_spec("pykeen")
    return (Path(spec.origin).parent / "datasets",) if spec and spec.origin else ()


WHEEL = command("graph")
CONVE = "put {}.tar.gz of the GitHub repository TimDettmers/ConvE into paths.data"


class _Published:
    """One of the published sets, as a data source of its own name."""

    kdzoo_kind = "data"
    benchmark: ClassVar[Benchmark]

    def __init__(self, *, folder: Existing | None = None) -> None:
        self.folder = folder

    def load(self, root: Path | None = None) -> Triples:
        return self.benchmark.load(self.folder, root)

    @classmethod
    def available(cls, root: Path | None = None) -> Availability:
        return cls.benchmark.available(root)


class UMLS(_Published):
    """UMLS (McCray, 2003): 135 medical concepts, 46 relations. Args: folder: where it lies, if not in the usual places."""

    benchmark = Benchmark("umls", ("umls", "UMLS"), 135, 5216, WHEEL, "in PyKEEN's wheel (MIT)")


class Kinships(_Published):
    """Alyawarra kinship (Denham, 1973): 104 persons, 25 terms. Args: folder: where it lies, if not in the usual places."""

    benchmark = Benchmark("kinships", ("kinships", "kinship"), 104, 8544, WHEEL, "in PyKEEN's wheel (MIT)")


class Nations(_Published):
    """Nations (Rummel, 1976): 14 countries, 55 relations. Args: folder: where it lies, if not in the usual places."""

    benchmark = Benchmark("nations", ("nations",), 14, 1592, WHEEL, "in PyKEEN's wheel (MIT)")


class FB15k237(_Published):
    """FB15k-237: 14,541 entities of Freebase, 237 relations. Args: folder: where it lies, if not in the usual places."""

    benchmark = Benchmark(
        "fb15k237", ("FB15k-237", "FB15K-237", "fb15k237"), 14541, 272115, CONVE.format("FB15k-237"), "Freebase (CC BY)"
    )


class WN18RR(_Published):
    """WN18RR: 40,943 entities of WordNet, 11 relations. Args: folder: where it lies, if not in the usual places."""

    benchmark = Benchmark("wn18rr", ("WN18RR", "wn18rr"), 40943, 86835, CONVE.format("WN18RR"), "WordNet license")
