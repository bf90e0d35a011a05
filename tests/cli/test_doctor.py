import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.extras import checkout


@pytest.fixture
def findings(kdzoo: Callable[..., Any]) -> Callable[..., Any]:
    """`findings()`: the exit code, and what was found by name."""

    def run(*words: Any) -> tuple[Any, dict[str, Any]]:
        code, out, _ = kdzoo("doctor", "--json", *words)
        return code, {finding["what"]: finding for finding in json.loads(out)}

    return run


def test_a_sound_machine_is_0_with_versions_device_data_and_folder(findings: Callable[..., Any], tmp_path: Path) -> None:
    code, found = findings()
    assert code == 0
    assert found["torch"]["detail"] == metadata.version("torch")
    assert found["data digits"]["status"] == "ok"
    assert found["output folder"] == {"what": "output folder", "status": "ok", "detail": str(tmp_path / "runs")}
    assert {"python", "kdzoo", "device", "threads", "plugins"} <= set(found)
    assert not list(tmp_path.iterdir())


def test_a_missing_requirement_is_3_with_the_command(findings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "safetensors")
    code, found = findings()
    assert code == 3
    assert found["safetensors"]["status"] == "wrong"
    assert found["safetensors"]["detail"].startswith("pip install 'safetensors>=")


def test_a_missing_extra_is_absent_but_not_wrong(findings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnx")
    code, found = findings()
    assert code == 0
    assert found["onnx"] == {"what": "onnx", "status": "absent", "detail": f"pip install -e '{checkout()}[onnx]'"}


def hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    version = metadata.version

    def hidden(asked: Any) -> Any:
        if asked == name:
            raise metadata.PackageNotFoundError(name)
        return version(asked)

    monkeypatch.setattr(metadata, "version", hidden)


def test_a_torchvision_of_another_torch_is_explained(
    findings: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    code, found = findings()
    assert code == 3
    assert "operator torchvision::nms does not exist" in found["torchvision and torch"]["detail"]
    assert "pip install torch torchvision" in found["torchvision and torch"]["detail"]


def test_an_output_folder_below_a_file_is_3(findings: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, found = findings("--out", "file/below")
    assert code == 3
    assert found["output folder"]["status"] == "wrong"


def test_a_plugin_that_fails_on_import_is_3_with_its_distribution(
    findings: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    (site / "strange-1.0.dist-info").mkdir(parents=True)
    (site / "strange-1.0.dist-info" / "entry_points.txt").write_text("[kdzoo.methods]\nodd = strange_plugin:Odd\n")
    (site / "strange_plugin.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(site))
    registry.refresh()
    code, found = findings()
    assert code == 3
    assert "from strange 1.0, is broken" in found["plugin odd"]["detail"]
    assert "ZeroDivisionError" in found["plugin odd"]["detail"]
