"""Findings as files: `findings.json`, each figure as PNG, SVG and its data as JSON, and a page.

`section.html` is the part of the page that the report of a bench takes in, too.
"""

from __future__ import annotations

import base64
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from kdzoo.analysis.drawing import pictures
from kdzoo.benchmark.report.analyses import SECTION
from kdzoo.engine.files import read_json, replace_folder, writing
from kdzoo.protocol.analysis import Analysis, Findings, Wants
from kdzoo.recipe.schema import schema_of

FORMAT = 1
FINDINGS, PAGE = "findings.json", "report.html"
TEMPLATES = (Path(__file__).parent / "templates", Path(__file__).parents[1] / "benchmark" / "report" / "templates")
DIGITS = 4


class Named(Protocol):
    """A run: its folder, and what it is called."""

    @property
    def folder(self) -> Path: ...

    @property
    def name(self) -> str: ...


def written(target: Path, name: str, analysis: Analysis, findings: Findings, runs: Sequence[Named]) -> None:
    """Write everything to the folder, or nothing. Raises RecipeError where it cannot be written."""
    files = files_of(name, analysis, findings, runs)

    def fill(folder: Path) -> None:
        for file, content in files.items():
            (folder / file).write_bytes(content)

    with writing(target):
        replace_folder(target, fill)


def files_of(name: str, analysis: Analysis, findings: Findings, runs: Sequence[Named]) -> dict[str, bytes]:
    """Content by file name."""
    drawn = {figure.name: pictures(figure) for figure in findings.figures}
    files = {f"{figure}.{kind}": content for figure, own in drawn.items() for kind, content in own.items()}
    files |= {f"{figure.name}.json": _json(asdict(figure)) for figure in findings.figures}
    section = _section(name, analysis, findings, {figure: own["svg"] for figure, own in drawn.items()})
    told = [{"name": run.name, "identity": _identity(run.folder)} for run in runs]
    constructor: Any = type(analysis)
    settings = {key: getattr(analysis, key) for key in schema_of(constructor).fields if hasattr(analysis, key)}
    content = {
        "format": FORMAT,
        "analysis": name,
        "settings": settings,
        "wants": _changed(analysis.wants()),
        "runs": told,
        "values": findings.values,
        "tables": [asdict(table) for table in findings.tables],
        "figures": [{key: getattr(figure, key) for key in ("name", "title", "caption")} for figure in findings.figures],
        "notes": list(findings.notes),
    }
    page = _template("page.html").render(name=name, section=section, runs=told, settings=json.dumps(jsonable(settings)))
    return files | {FINDINGS: _json(content), SECTION: section.encode(), PAGE: page.encode()}


def jsonable(value: Any) -> Any:
    """Findings as JSON has them: tensors as lists, what is no finite number as null."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Tensor):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def shown(value: object) -> str:
    """A field of a table."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _section(name: str, analysis: Analysis, findings: Findings, svgs: Mapping[str, bytes]) -> str:
    text = inspect.cleandoc(type(analysis).__doc__ or "").partition("\n\n")[0]
    pictured = [(figure, base64.b64encode(svgs[figure.name]).decode()) for figure in findings.figures]
    return _template("section.html").render(
        name=name, about=" ".join(text.split()), figures=pictured, tables=findings.tables, notes=findings.notes
    )


def _template(name: str) -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    environment.filters["shown"] = shown
    return environment.get_template(name)


def _changed(wants: Wants) -> dict[str, Any]:
    nothing = Wants()
    return {"splits": wants.splits} | {k: v for k, v in vars(wants).items() if k != "splits" and v != getattr(nothing, k)}


def _identity(folder: Path) -> str:
    return str((read_json(folder / "result.json") or {}).get("identity", ""))


def _json(value: Any) -> bytes:
    return (json.dumps(jsonable(value), indent=1, allow_nan=False) + "\n").encode()
