"""Triples and aligned graphs from folders and archives, and what is said of malformed ones."""

import io
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from kdzoo_graph.data.dbp15k import DBP15K
from kdzoo_graph.data.sources import UMLS, FB15k237, Kinships, Nations, TriplesFolder

from kdzoo.errors import MissingError, RecipeError

PARTS = {
    "train.txt": "a\tlikes\tb\nb\tlikes\tc\na\tknows\tc\n",
    "valid.txt": "c\tlikes\ta\n",
    "test.txt": "b\tknows\ta\n",
}


def folder(place: Path, **changes: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in {**PARTS, **{f"{key}.txt": text for key, text in changes.items()}}.items():
        (place / name).write_text(text)
    return place


def packed(place: Path, names: Any) -> Path:
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in names.items():
                archive.writestr(name, text)
        return place
    with tarfile.open(place, "w:xz" if place.suffix == ".xz" else "w:gz") as archive:
        for name, text in names.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return place


def test_a_folder_is_read_with_the_most_frequent_names_first(tmp_path: Path) -> None:
    triples = TriplesFolder(folder=str(folder(tmp_path / "own"))).load()
    assert list(triples.entities) == ["a", "b", "c"]
    assert list(triples.relations) == ["likes", "knows"]
    assert triples.train.tolist() == [[0, 0, 1], [1, 0, 2], [0, 1, 2]]
    assert triples.validation.tolist() == [[2, 0, 0]]
    assert triples.test.tolist() == [[1, 1, 0]]


@pytest.mark.parametrize("name", ["own.tar.gz", "own.tar.xz", "own.zip"])
def test_an_archive_is_the_same_as_its_folder(tmp_path: Path, name: str) -> None:
    hidden = {"._train.txt": "junk", "Release/.DS_Store": "junk"}
    place = packed(tmp_path / name, {f"Release/{part}": text for part, text in PARTS.items()} | hidden)
    own = TriplesFolder(folder=str(place)).load()
    assert own.fingerprint == TriplesFolder(folder=str(folder(tmp_path / "own"))).load().fingerprint


def test_a_relative_folder_is_looked_for_in_the_data_folder(tmp_path: Path) -> None:
    folder(tmp_path / "own")
    assert len(TriplesFolder(folder="own").load(tmp_path).train) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": "a\tlikes\tb\n\na likes c\n"}, r"train\.txt, line 3: expected head, relation and tail .* got 1 fields"),
        ({"train": "a\tlikes\tb\tc\n"}, r"train\.txt, line 1: expected head, relation and tail .* got 4 fields"),
        ({"valid": "a\t\tb\n"}, r"valid\.txt, line 1: the relation is empty"),
        ({"test": "a\tlikes\t \n"}, r"test\.txt, line 1: the tail is empty"),
        ({"test": "\n"}, "no triples to test on"),
    ],
)
def test_malformed_triples_are_named_by_file_and_line(tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        TriplesFolder(folder=str(folder(tmp_path, **changes))).load()


def test_text_that_is_not_utf8_and_broken_archives_are_sentences(tmp_path: Path) -> None:
    (folder(tmp_path) / "train.txt").write_bytes(b"a\tlikes\t\xff\n")
    with pytest.raises(RecipeError, match=r"train\.txt is not UTF-8 text"):
        TriplesFolder(folder=str(tmp_path)).load()
    for name in ("broken.zip", "broken.tar.gz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(RecipeError, match="cannot be read as an archive"):
            TriplesFolder(folder=str(tmp_path / name)).load()


def test_missing_places_and_parts_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no folder or archive .*nowhere"):
        TriplesFolder(folder=str(tmp_path / "nowhere")).load()
    (folder(tmp_path) / "test.txt").unlink()
    with pytest.raises(RecipeError, match=r"has no test\.txt"):
        TriplesFolder(folder=str(tmp_path)).load()


def test_a_published_set_that_is_nowhere_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDZOO_DATA", str(tmp_path))
    with pytest.raises(MissingError, match=r"fb15k237 was not found in .* put FB15k-237\.tar\.gz"):
        FB15k237().load(tmp_path)
    assert not FB15k237.available(tmp_path).found


def test_other_data_under_a_published_name_are_refused(tmp_path: Path) -> None:
    folder(tmp_path / "umls")
    with pytest.raises(RecipeError, match="is not umls: it has 3 entities and 3 training triples, expected 135 and 5216"):
        UMLS().load(tmp_path)


@pytest.mark.skipif(find_spec("pykeen") is None, reason="the extra `graph` is not installed")
@pytest.mark.parametrize(
    ("source", "sizes"),
    [(UMLS, (135, 46, 5216, 652, 661)), (Kinships, (104, 25, 8544, 1068, 1074)), (Nations, (14, 55, 1592, 199, 201))],
)
def test_the_sets_in_pykeens_wheel_have_their_published_sizes(source: Any, sizes: tuple[int, ...]) -> None:
    triples = source().load()
    parts = triples.train, triples.validation, triples.test
    assert (len(triples.entities), len(triples.relations), *map(len, parts)) == sizes
    assert source.available().found


# -- aligned graphs ------------------------------------------------------------------------------------------------------


def text(rows: Any) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def layout(graphs: Any, known: Any = None, names: tuple[str, str] = ("sup_pairs", "ref_pairs")) -> dict[str, Any]:
    """The files of a pair in DBP15K's layout; those of the open-world copy have the triples `known`."""
    files = {key: text(graphs[key].tolist()) for key in ("triples_1", "triples_2")}
    files |= {names[0]: text(graphs["seeds"].tolist()), names[1]: text(graphs["test"].tolist())}
    found = {f"data/DBP15K/zh_en/mtranse/0_3/{name}": part for name, part in files.items()}
    for key, part in (known or {}).items():
        found[f"opendata/DBP15K/zh_en/mtranse/0_3/{key}"] = text(part.tolist())
    return found


def test_dbp15ks_layout_is_read_from_an_archive_under_both_names_of_the_pairs(tmp_path: Path, copied_graphs: Any) -> None:
    packed(tmp_path / "dbp15k.tar.xz", layout(copied_graphs))
    first = DBP15K().load(tmp_path)
    assert (first.entities, first.relations) == (20, 6)
    assert first.seeds.tolist() == copied_graphs["seeds"].tolist()
    assert first.candidates.tolist() == copied_graphs["test"][:, 1].tolist()
    place = packed(tmp_path / "own.tar.gz", layout(copied_graphs, names=("sup_ent_ids", "ref_ent_ids")))
    assert DBP15K(folder=str(place)).load().fingerprint == first.fingerprint
    assert DBP15K.available(tmp_path).found


def test_the_open_world_tests_on_the_pairs_that_training_does_not_have(tmp_path: Path, copied_graphs: Any) -> None:
    hidden = copied_graphs["test"][:2]
    keys = ("triples_1", "triples_2")
    known = {k: copied_graphs[k][~torch.isin(copied_graphs[k][:, ::2], hidden).any(1)] for k in keys}
    packed(tmp_path / "dbp15k.tar.xz", layout(copied_graphs, known))
    found = DBP15K(open_world=True).load(tmp_path)
    assert found.test.tolist() == hidden.tolist()
    assert len(found.candidates) == len(copied_graphs["test"])
    assert [len(side) for side in found.known_sides] == [len(known[key]) for key in keys]


def test_what_is_wrong_with_aligned_graphs_is_a_sentence(tmp_path: Path, copied_graphs: Any) -> None:
    def load(name: str = "own", open_world: bool = False, **changes: Any) -> Any:
        place = packed(tmp_path / f"{name}.tar.gz", layout({**copied_graphs, **changes}))
        return DBP15K(folder=str(place), open_world=open_world).load()

    with pytest.raises(
        RecipeError, match=r"seeds: pair 2 \(0, 99\) names entity 99, which no triple of graph 2 has \(1 such pairs\)"
    ):
        load(seeds=torch.tensor([[0, 10], [0, 99]]))
    with pytest.raises(RecipeError, match=r"test: pair 1 \(10, 0\) names entity 10, which no triple of graph 1 has"):
        load(test=torch.tensor([[10, 0]]))
    with pytest.raises(RecipeError, match="both graphs have entity 0"):
        load(triples_2=copied_graphs["triples_1"])
    with pytest.raises(
        RecipeError, match=r"does not hold the open-world copy of zh_en .* expected the files triples_1, triples_2"
    ):
        load(open_world=True)
    broken = layout(copied_graphs)
    broken["data/DBP15K/zh_en/mtranse/0_3/triples_1"] += "1\ttwo\t3\n"
    number = len(copied_graphs["triples_1"]) + 1
    with pytest.raises(RecipeError, match=rf"triples_1, line {number}: expected head, relation and tail as numbers"):
        DBP15K(folder=str(packed(tmp_path / "broken.tar.gz", broken))).load()
    with pytest.raises(MissingError, match=r"DBP15K was not found .* put dbp15k\.tar\.xz"):
        DBP15K().load(tmp_path / "nowhere")
