import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.data.search_paths import Availability
from kdzoo.data.status import status
from kdzoo.recipe.schema import schema_of


def rows(root: Any = None) -> dict[str, Any]:
    return {row["name"]: row for row in status(root)}


def test_only_the_embedded_data_are_on_a_bare_machine(tmp_path: Path) -> None:
    found = {name: row["found"] for name, row in rows(tmp_path).items()}
    wheels = {"umls", "kinships", "nations"}  # there if PyKEEN is installed
    assert {name: there for name, there in found.items() if name not in wheels} == {
        "digits": True,
        "fashion_mnist": False,
        "cifar10": False,
        "cifar100": False,
        "dbp15k": False,
        "fb15k237": False,
        "wn18rr": False,
        "trec": False,
        "rotten_tomatoes": False,
        "imdb": False,
        "glue": None,
        "hf_dataset": None,
        "text_files": None,
        "image_folder": None,
        "torchvision": None,
        "triples": None,
    }


def test_a_source_of_somebody_else_is_among_them() -> None:
    class Mine:
        """Images of mine."""

        kdzoo_kind = "data"

        def load(self, root: Any = None) -> None:
            raise NotImplementedError

        @staticmethod
        def available(root: Any = None) -> Availability:
            return Availability("another name", True, "here", 3, "mine", "")

    registry.register("data", "mine", Mine)
    assert rows()["mine"]["where"] == "here"


def test_found_data_say_where_and_how_large(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path / "fashion-mnist")
    row = rows(tmp_path)["fashion_mnist"]
    assert row["where"] == str(tmp_path / "fashion-mnist")
    assert row["size"] == sum(path.stat().st_size for path in (tmp_path / "fashion-mnist").iterdir())


def test_missing_data_say_how_to_get_them(tmp_path: Path) -> None:
    assert rows(tmp_path)["fashion_mnist"]["get"].endswith("apt-get install -y dataset-fashion-mnist")


def test_an_archive_is_found_without_reading_it(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(b"not read")
    row = rows(tmp_path)["cifar100"]
    assert (row["found"], row["size"]) == (True, 8)


def test_an_incomplete_folder_is_explained(tmp_path: Path, write_mnist: Callable[..., Any]) -> None:
    write_mnist(tmp_path / "fashion-mnist")
    (tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte").unlink()
    row = rows(tmp_path)["fashion_mnist"]
    assert row["found"] is False
    assert "t10k-labels-idx1-ubyte is missing" in row["where"]


@pytest.mark.parametrize("name", registry.discover("data"))
def test_every_source_has_a_schema(name: str) -> None:
    source = registry.get("data", name)
    assert source.kdzoo_kind == "data"
    assert list(schema_of(source).fields) == list(inspect.signature(source).parameters)
