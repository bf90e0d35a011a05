"""The report as a person sees it: one headless Chromium shows it wide and narrow, in the light and in the dark, and uses it."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kdzoo.benchmark import write_report

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
QUIET = [f"--disable-{name}" for name in ("gpu", "quic", "background-networking", "component-update", "sync")]
VIEWS = {"wide": (1100, "light"), "narrow": (390, "light"), "dark": (1100, "dark"), "narrow and dark": (390, "dark")}
FOUR = {
    "alone": {0: 80.0, 1: 82.0, 2: 81.0, 3: 80.5},
    "kd": {0: 90.0, 1: 92.0, 2: 91.0, 3: 91.0},
    "dkd": {0: 91.0, 1: 94.0, 2: 92.0, 3: 91.0},
    "a row with a name of some length + another": {0: 50.0, 1: "it broke"},
    "guess": {0: 20.0, 1: 20.5},
}
LISTENING = (
    "<script>window.said = []; window.onerror = (text) => said.push(String(text));"
    "console.error = (...all) => said.push(all.join(' '));</script>"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium; apt-get install chromium"),
]


def chromium(folder: Path, *arguments: str) -> str:
    assert BROWSER is not None
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        *QUIET,
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, written: Any) -> dict[str, Any]:
    """What the script in `browser_checks.js` found, by view."""
    folder = tmp_path_factory.mktemp("browser")
    report = report_of(written(folder, FOUR, items=True, chance=20.0))
    page = report.read_text().replace("<head>", f"<head>{LISTENING}", 1)
    frames = "".join(
        f'<iframe data-view="{name}" srcdoc="{html.escape(page)}" style="color-scheme: {scheme}; width: {width}px; '
        'height: 900px; border: 0"></iframe>'
        for name, (width, scheme) in VIEWS.items()
    )
    checks = (Path(__file__).parent / "browser_checks.js").read_text()
    harness = folder / "harness.html"
    harness.write_text(f'<!doctype html><meta charset="utf-8">{frames}<pre id="found"></pre><script>{checks}</script>')
    shown = chromium(folder, "--virtual-time-budget=20000", "--dump-dom", harness.as_uri())
    found = re.search(r'<pre id="found">(.+?)</pre>', shown, re.DOTALL)
    assert found is not None, shown[-2000:]
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result


def report_of(folder: Path) -> Path:
    write_report(folder)
    return folder / "report.html"


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_is_wider_than_the_window(seen: dict[str, Any], view: str) -> None:
    assert seen[view]["overflow"] == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_text_has_the_contrast_that_wcag_asks_for(seen: dict[str, Any], view: str) -> None:
    assert seen[view]["texts"] > 100
    assert seen[view]["pale"] == []


@pytest.mark.parametrize("view", VIEWS)
def test_the_console_is_silent(seen: dict[str, Any], view: str) -> None:
    assert seen[view]["said"] == []


def test_the_dark_page_is_dark(seen: dict[str, Any]) -> None:
    assert seen["dark"]["background"] != seen["wide"]["background"]
    assert max(seen["dark"]["background"]) < 64 < 200 < min(seen["wide"]["background"])


def test_a_click_on_a_header_sorts_and_another_turns_the_order(seen: dict[str, Any]) -> None:
    down, up = seen["wide"]["sorted"]
    assert down[:3] == ["teacher", "dkd", "kd (baseline)"]
    assert list(reversed(up)) == down
    assert seen["wide"]["aria"] == ["descending", "ascending"]


def test_the_filter_leaves_the_rows_that_fit(seen: dict[str, Any]) -> None:
    assert seen["wide"]["filtered"] == ["dkd"]
    assert seen["wide"]["unfiltered"] > 3


def test_every_header_says_what_it_is_the_header_of(seen: dict[str, Any]) -> None:
    assert seen["wide"]["headers"] > 20
    assert seen["wide"]["without_scope"] == 0


def test_every_picture_has_words(seen: dict[str, Any]) -> None:
    assert seen["wide"]["wordless"] == 0


def test_a_rows_recipe_can_be_had(seen: dict[str, Any]) -> None:
    assert seen["wide"]["recipe"].startswith("seed: 0\nmethods:")


def test_it_prints(tmp_path: Path, made: Any) -> None:
    report = report_of(made(FOUR, items=True))
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", report.as_uri())
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 1
