"""DBP15K: pairs of DBpedia editions with known equivalents (Sun, Hu, Li, ISWC 2017), closed and open-world.

The layout is that of the decentRL and AliNet repositories: for each pair, in tab-separated numbers, `triples_1`, `triples_2`,
`sup_pairs` (4,500 seeds) and `ref_pairs` (10,500 for the test), the latter also as `sup_ent_ids` and `ref_ent_ids`. The copy
for the open world lies below a folder `opendata`: it lacks the triples of 2,100 test pairs, which its `ref_pairs` lacks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor

from kdzoo.data.search_paths import Availability, Search
from kdzoo.errors import RecipeError
from kdzoo.protocol.roles import Existing
from kdzoo_graph.data.aligned import Aligned, aligned
from kdzoo_graph.data.files import ARCHIVES, availability, contents, is_archive, listed
from kdzoo_graph.data.integer_files import parse

FILES = {"triples_1": ("triples_1",), "triples_2": ("triples_2",), "seeds": ("sup_pairs", "sup_ent_ids")}
TEST = {"test": ("ref_pairs", "ref_ent_ids")}
OPEN = "opendata"
GET = (
    "put dbp15k.tar.xz (data and opendata of the GitHub repository guolingbing/Decentralized-Attention-Network) into paths.data"
)
INSIDE = [name + end for name in ("dbp15k", "DBP15K") for end in ("", *ARCHIVES)]


class DBP15K:
    """Two editions of DBpedia.

    Args:
        pair: which editions. fold: the published division into seeds and test, by its folder, where there are several.
        open_world: train without the entities of the 2,100 pairs that the open copy hides, and test on these pairs.
        folder: where it lies, if not in the usual places.
    """

    kdzoo_kind = "data"

    def __init__(
        self,
        *,
        pair: Literal["zh_en", "ja_en", "fr_en"] = "zh_en",
        fold: str = "0_3",
        open_world: bool = False,
        folder: Existing | None = None,
    ) -> None:
        self.pair, self.fold, self.open_world, self.folder = pair, fold, open_world, folder

    def load(self, root: Path | None = None) -> Aligned:
        search = _search()
        place = search.first(self._look, self.folder, root)
        if place is None:
            raise search.missing(self.folder, root)
        full = self._read(place, FILES | TEST, opened=False)
        known = (
            self._read(place, {key: FILES[key] for key in ("triples_1", "triples_2")}, opened=True) if self.open_world else None
        )
        return aligned(f"dbp15k {self.pair}", full, known)

    @staticmethod
    def available(root: Path | None = None) -> Availability:
        found = _search().first(DBP15K()._look, None, root)
        return availability("dbp15k", found, license="DBpedia (CC BY-SA)", get=GET)

    def _look(self, place: Path) -> Path | None:
        named = self.folder is not None or place.name in INSIDE
        return place if named and (place.is_dir() or is_archive(place)) and self._files(place, FILES, opened=False) else None

    def _files(self, place: Path, wanted: Mapping[str, tuple[str, ...]], *, opened: bool) -> dict[str, str]:
        """key -> file of this pair, from the fold's folder where there are several; empty unless all are there."""
        found = {}
        for name in listed(place):
            folders, key = Path(name).parts[:-1], _key(Path(name).name, wanted)
            if (
                key
                and self.pair in (*place.parts, *folders)
                and (OPEN in folders) == opened
                and (key not in found or self.fold in folders)
            ):
                found[key] = name
        return found if len(found) == len(wanted) else {}

    def _read(self, place: Path, wanted: Mapping[str, tuple[str, ...]], *, opened: bool) -> dict[str, Tensor]:
        files = self._files(place, wanted, opened=opened)
        if not files:
            kind = f"the open-world copy of {self.pair} (below a folder {OPEN})" if opened else self.pair
            names = ", ".join(names[0] for names in wanted.values())
            raise RecipeError(f"{place} does not hold {kind}: expected the files {names}; get it: {GET}")
        columns = {key: 3 if key.startswith("triples") else 2 for key in files}
        return {key: parse(text, f"{place / files[key]}", columns=columns[key]) for key, text in contents(place, files).items()}


def _key(name: str, wanted: Mapping[str, tuple[str, ...]]) -> str | None:
    return next((key for key, names in wanted.items() if name in names), None)


def _search() -> Search:
    return Search("DBP15K", "a folder or archive dbp15k with data/DBP15K/<pair>/...", GET, INSIDE)
