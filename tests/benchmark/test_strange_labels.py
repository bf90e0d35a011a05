"""Labels that a spreadsheet, Markdown or a terminal would take for something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdzoo.benchmark.report.formats import escaped, markdown, results_csv
from kdzoo.benchmark.report.leaderboard import leaderboard
from kdzoo.benchmark.report.records import read_records


@pytest.mark.parametrize("value", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", " =1"])
def test_a_text_in_the_csv_is_no_formula(value: str, made: Callable[..., Path]) -> None:
    text = results_csv(read_records(made({value: {0: -1.0}, "kd": {0: 2.0}}, alone="kd")))
    assert f"'{value}" in text
    assert "-1.0" in text
    assert "'-1.0" not in text


@pytest.mark.parametrize("label", ["a|b", "*a*", "<b>a</b>", "[a](http://x)", "`a`", "a\nb", "a\x1b[2Jb"])
def test_a_label_is_shown_as_it_is_in_markdown(label: str, made: Callable[..., Path]) -> None:
    cell = escaped(label).replace("|", "\\|")
    text = markdown(leaderboard(read_records(made({label: {0: 90.0}, "kd": {0: 91.0}}, alone="kd"))))
    row = next(line for line in text.splitlines() if line.startswith(f"| {cell} "))
    assert row.replace("\\|", "").count("|") == text.splitlines()[2].count("|")
    assert "\x1b" not in text
