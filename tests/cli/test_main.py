import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import extras, registry
from kdzoo.errors import Interrupted, MissingError, RunFailed
from kdzoo.extras import checkout


class Command:
    """Do what the test says."""

    action = staticmethod(lambda: 0)

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--times", type=int, default=1)

    def run(self, args: Any) -> Any:
        return self.action()


@pytest.fixture
def acting(kdzoo: Callable[..., Any]) -> Callable[..., Any]:
    """`acting(function)`: what a third party's command ends with when it does that."""

    def run(action: Any, *words: Any) -> Any:
        registry.register("commands", "act", type("Act", (Command,), {"action": staticmethod(action)}))
        return kdzoo("act", *words)

    return run


def raising(error: Any) -> Callable[..., Any]:
    def action() -> None:
        raise error

    return action


def test_it_is_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "kdzoo", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("kdzoo ")


def test_an_unknown_command_is_the_users_mistake_with_the_nearest_one(kdzoo: Callable[..., Any]) -> None:
    assert kdzoo("lst") == (2, "", "error: There is no command 'lst': did you mean 'list'?\n")


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_names_every_command_with_a_line_about_it(kdzoo: Callable[..., Any], words: tuple[Any, ...] | tuple[str]) -> None:
    code, out, _ = kdzoo(*words)
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ")}
    assert code == 0
    assert set(lines) >= {"run", "bench", "list", "show", "check", "cp", "report", "export", "eval", "new", "doctor", "data"}
    assert all(lines.values())


@pytest.mark.parametrize("words", [("run", "--help"), ("help", "run")])
def test_help_of_a_command(kdzoo: Callable[..., Any], words: tuple[str, str]) -> None:
    code, out, _ = kdzoo(*words)
    assert code == 0
    assert out.startswith("usage: kdzoo run")
    assert "--force" in out


def test_a_misspelt_option_is_named_with_the_nearest_one(kdzoo: Callable[..., Any]) -> None:
    code, _, err = kdzoo("list", "--jsn")
    assert (code, err) == (2, "error: kdzoo list: unknown argument --jsn; did you mean --json? See kdzoo list --help.\n")


def test_a_missing_argument_is_the_users_mistake(kdzoo: Callable[..., Any]) -> None:
    code, _, err = kdzoo("run")
    assert (code, err) == (2, "error: kdzoo run: the following arguments are required: recipe. See kdzoo run --help.\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [(RunFailed("It went\nwrong."), 1), (MissingError("Run: pip install x"), 3), (Interrupted("Stopped."), 130)],
)
def test_a_known_error_is_its_sentence_and_its_code(acting: Callable[..., Any], error: Any, code: int) -> None:
    found, out, err = acting(raising(error))
    assert (found, out) == (code, "")
    assert err.removeprefix("error: ").rstrip() == " ".join(str(error).split())


def test_an_unknown_error_is_a_sentence_and_its_traceback_is_kept(
    acting: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = acting(raising(RuntimeError("odd\nthings")))
    file = next(tmp_path.glob("kdzoo-error-*.txt"))
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("error: RuntimeError: odd things. This should not happen; its traceback is in " + str(file))
    assert "in action\n    raise error" in file.read_text()


def test_debug_shows_the_traceback(acting: Callable[..., Any]) -> None:
    code, _, err = acting(raising(RunFailed("No.")), "--debug")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert err.endswith("error: No.\n")


def test_control_c_is_130(acting: Callable[..., Any]) -> None:
    assert acting(raising(KeyboardInterrupt())) == (130, "", "interrupted.\n")


def test_a_missing_package_is_3_with_a_command(acting: Callable[..., Any]) -> None:
    code, _, err = acting(raising(ModuleNotFoundError("No module named 'omegaconf'", name="omegaconf")))
    assert code == 3
    assert err == (
        f"error: The Python module 'omegaconf' is not installed. Run: pip install -e '{checkout()}', which brings what kdzoo "
        "requires.\n"
    )


def test_an_installed_wheel_names_the_repository(acting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdzoo.extras.checkout", lambda: None)
    _, _, err = acting(raising(ModuleNotFoundError("No module named 'omegaconf'", name="omegaconf")))
    assert "Run: pip install kdzoo, from its repository as there is no release yet, which brings" in err


def test_extras_of_an_installed_wheel_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "checkout", lambda: None)
    assert re.fullmatch(r"pip install (?:'onnx\w*>=[\d.]+' ?){3}", extras.command("onnx"))


def test_warnings_are_one_line(acting: Callable[..., Any]) -> None:
    def action() -> int:
        warnings.warn("mind\nthe gap", stacklevel=1)
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert acting(action) == (0, "", "warning: mind the gap\n")


def test_a_third_partys_command_has_its_line_and_its_options(kdzoo: Callable[..., Any]) -> None:
    registry.register("commands", "act", Command)
    assert "  act         Do what the test says" in kdzoo("--help")[1]
    assert "--times" in kdzoo("act", "--help")[1]


def test_what_is_no_command_is_the_plugins_mistake(kdzoo: Callable[..., Any]) -> None:
    registry.register("commands", "act", 3)
    code, _, err = kdzoo("act")
    assert code == 2
    assert "The command 'act' of in-process" in err
    assert "without add_arguments(parser) and run(args)" in err


def test_a_command_cannot_take_a_built_in_ones_place(kdzoo: Callable[..., Any]) -> None:
    registry.register("commands", "list", Command)
    assert kdzoo("list", "schedules")[1].startswith("constant\t")


def test_colors_only_on_a_terminal_and_never_against_no_color(
    kdzoo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in kdzoo("lst")[2]
    monkeypatch.setattr("kdzoo.terminal.console.on_terminal", lambda stream: True)
    assert "\x1b[1;31merror:\x1b[0m" in kdzoo("lst")[2]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in kdzoo("lst")[2]


def test_the_process_ends_with_the_code() -> None:
    done = subprocess.run([sys.executable, "-m", "kdzoo.cli", "lst"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_reader_that_leaves_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "kdzoo.cli", "list"], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_installed_script_is_this_command_line() -> None:
    script = Path(sys.executable).with_name("kdzoo")
    assert subprocess.run([script, "--version"], capture_output=True, text=True).stdout.startswith("kdzoo ")
