"""Look at this machine: versions, device, extras, data, the output folder, and plugins that are broken."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from kdzoo import registry
from kdzoo.cli.arguments import add_json
from kdzoo.errors import MissingError, PluginError
from kdzoo.extras import command
from kdzoo.terminal.console import complain, loading, show_json, show_table

Status = Literal["ok", "absent", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and details or the remedy. `absent` things are optional."""

    what: str
    status: Status
    detail: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="runs", metavar="DIR", help="the output folder to look at (the setting runtime.out)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    loading("torch and torchvision")
    findings = [*packages(), *torchvision(), *machine(), output(Path(args.out)), *data(), *plugins()]
    if args.json:
        show_json([asdict(finding) for finding in findings])
    else:
        show_table(("what", "status", "detail"), [(f.what, f.status, f.detail) for f in findings])
    wrong = [finding.what for finding in findings if finding.status == "wrong"]
    if wrong:
        complain(f"{', '.join(wrong)} needs attention; the details say what to do.")
    return MissingError.exit_code if wrong else 0


def packages() -> Iterator[Finding]:
    """What kdzoo requires, and what its extras would add."""
    yield Finding("python", "ok", platform.python_version())
    yield Finding("kdzoo", "ok", metadata.version("kdzoo"))
    for requirement in metadata.requires("kdzoo") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", requirement)
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            wanted = command(extra[1]) if extra else f"pip install '{requirement.split(';')[0].strip()}'"
            yield Finding(name, "absent" if extra else "wrong", wanted)


def torchvision() -> Iterator[Finding]:
    """A torchvision built for another torch raises on import, and not always an ImportError."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except Exception as error:
        yield Finding(
            "torchvision and torch",
            "wrong",
            f"torchvision does not fit the installed torch ({' '.join(str(error).split())}); install both from one index, e.g. "
            "pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu",
        )


def machine() -> Iterator[Finding]:
    """The device that `runtime.device: auto` takes, and the threads."""
    try:
        torch = importlib.import_module("torch")
    except Exception as error:
        yield Finding(
            "device", "wrong", f"torch cannot be imported ({error}); reinstall it: pip install --force-reinstall torch"
        )
        return
    cuda = torch.cuda.is_available()
    yield Finding("device", "ok", torch.cuda.get_device_name() if cuda else f"CPU with {os.cpu_count()} cores, no GPU")
    yield Finding("threads", "ok", f"{torch.get_num_threads()} (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')})")


def output(folder: Path) -> Finding:
    """Whether runs can be written."""
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return Finding("output folder", "ok", str(folder.resolve()))
    except OSError as error:
        return Finding("output folder", "wrong", f"{there} cannot be written to ({error.strerror}); set runtime.out elsewhere")


def data() -> Iterator[Finding]:
    """The data sets that kdzoo knows where to look for."""
    try:
        from kdzoo.data.status import status
    except ImportError:  # what is missing has a line of its own
        return
    for known in status():
        if known["found"] is not None:
            detail = known["where"] if known["found"] else known["get"]
            yield Finding(f"data {known['name']}", "ok" if known["found"] else "absent", detail)


def plugins() -> Iterator[Finding]:
    """Everything that is broken by its metadata or when it is imported."""
    count = 0
    for kind in registry.KINDS:
        for name in registry.discover(kind) if kind != "recipes" else ():
            count += 1
            try:
                registry.get(kind, name)
            except PluginError as error:
                yield Finding(f"plugin {name}", "wrong", f"{error} Repair or uninstall its distribution.")
    for entry in registry.broken():
        if not entry.kind:
            yield Finding(f"distribution {entry.distribution}", "wrong", entry.problem or "")
    yield Finding("plugins", "ok", f"{count} known")
