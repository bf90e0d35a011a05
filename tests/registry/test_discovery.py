"""Finding plugins: from metadata alone, and whatever state the other distributions are in."""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.errors import PluginError

ONE = """
    [kdzoo.methods]
    mine = plugin_one:Mine
"""


def names(kind: str = "methods") -> list[Any]:
    return [name for name in registry.discover(kind) if "mine" in name]


def problems() -> dict[str, Any]:
    return {entry.distribution: entry.problem for entry in registry.broken()}


def test_every_kind_has_a_group_of_its_own_name() -> None:
    assert registry.KINDS["methods"] == "kdzoo.methods"
    assert {"transforms", "teachers", "tasks", "data", "models", "schedules", "analyses"} < registry.KINDS.keys()
    assert {"recipes", "commands", "loops", "optimizers", "trackers"} < registry.KINDS.keys()


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"no kind of plugin called 'schedule': did you mean 'schedules'\?"):
        registry.discover("schedule")


def test_an_installed_plugin_is_found_without_being_imported(install: Callable[..., Any]) -> None:
    install("kdzoo-example", ONE, plugin_one="raise RuntimeError('imported')")
    found = registry.discover("methods")["mine"]
    assert (found.kind, found.name, found.target) == ("methods", "mine", "plugin_one:Mine")
    assert (found.distribution, found.version, found.problem) == ("kdzoo-example", "1.0", None)
    assert "plugin_one" not in sys.modules


def test_names_come_sorted(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.methods]\nz_mine = plugin_one:Mine\na_mine = plugin_one:Mine\n")
    assert names() == ["a_mine", "z_mine"]


def test_an_installation_shows_up_only_after_a_refresh(install: Callable[..., Any], tmp_path: Path) -> None:
    folder = install("kdzoo-example", ONE)
    assert names() == ["mine"]
    (folder / "kdzoo_example-1.0.dist-info" / "entry_points.txt").write_text("")
    assert names() == ["mine"]
    registry.refresh()
    assert names() == []


def test_importing_the_registry_imports_neither_torch_nor_omegaconf() -> None:
    code = "import sys, kdzoo.registry as r; [r.discover(k) for k in r.KINDS]; print({'torch', 'omegaconf'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_a_malformed_distribution_is_listed_as_broken_and_harms_nobody_else(install: Callable[..., Any]) -> None:
    install("aaa-malformed", "mine = plugin_one:Mine\n")
    install("kdzoo-example", ONE)
    assert names() == ["mine"]
    assert "cannot be read (File contains no section headers." in problems()["aaa-malformed"]
    assert "aaa_malformed-1.0.dist-info" in problems()["aaa-malformed"]


def test_an_entry_point_given_twice_breaks_only_its_own_distribution(install: Callable[..., Any]) -> None:
    install("aaa-double", ONE + "    mine = plugin_one:Other\n")
    install("kdzoo-example", "[kdzoo.methods]\nother_mine = plugin_one:Mine\n")
    assert names() == ["other_mine"]
    assert "already exists" in problems()["aaa-double"]


def test_a_file_that_is_no_text_breaks_only_its_own_distribution(install: Callable[..., Any]) -> None:
    folder = install("aaa-binary", "")
    (folder / "aaa_binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"[kdzoo.methods]\nx = \xff\xfe:y\n")
    install("kdzoo-example", ONE)
    assert names() == ["mine"]
    assert "aaa-binary" in problems()


def test_a_distribution_in_a_zip_file_is_found_even_beside_a_malformed_one(install: Callable[..., Any], tmp_path: Path) -> None:
    archive = tmp_path / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-2.0.dist-info/entry_points.txt", "[kdzoo.methods]\nzipped_mine = plugin_zip:Mine\n")
    sys.path.append(str(archive))
    registry.refresh()
    assert names() == ["zipped_mine"]
    install("aaa-malformed", "nonsense")
    assert names() == ["zipped_mine"]
    assert registry.entry("methods", "zipped_mine").version == "2.0"


def test_a_bad_entry_is_broken_and_its_neighbors_are_not(install: Callable[..., Any]) -> None:
    install("kdzoo-example", ONE + "    my bad = plugin one!\n    only_module_mine = plugin_one\n    percent_mine = a%b:c\n")
    found = registry.discover("methods")
    assert found["mine"].problem is None
    assert found["my bad"].problem == "its entry point reads 'plugin one!', expected 'module:attribute'"
    assert "names only a module" in found["only_module_mine"].problem
    assert "'a%b:c'" in found["percent_mine"].problem
    assert {entry.name for entry in registry.broken()} >= {"my bad", "only_module_mine", "percent_mine"}


def test_a_folder_of_recipes_needs_no_attribute(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.recipes]\nmine = plugin_one.recipes\n")
    assert registry.entry("recipes", "mine").problem is None


def test_a_group_that_does_not_exist_is_reported_with_the_nearest(install: Callable[..., Any]) -> None:
    install("kdzoo-example", "[kdzoo.schedule]\nmine = plugin_one:Mine\n")
    assert (
        problems()["kdzoo-example"] == "its entry-point group 'kdzoo.schedule' is no kind of plugin; did you mean 'schedules'?"
    )


def test_the_stale_copy_of_a_distribution_later_on_the_path_does_not_count(install: Callable[..., Any], tmp_path: Path) -> None:
    install("kdzoo-example", ONE, version="2.0")
    install("Kdzoo.Example", ONE, version="1.0", folder=tmp_path / "stale")
    assert names() == ["mine"]
    assert registry.entry("methods", "mine").version == "2.0"


def test_a_folder_twice_on_the_path_makes_no_conflict(install: Callable[..., Any]) -> None:
    sys.path.append(str(install("kdzoo-example", ONE)))
    registry.refresh()
    assert names() == ["mine"]


@pytest.mark.parametrize("declared", ["1 = plugin_one", "1 = plugin_one\n    2 = plugin_one"])
def test_a_distribution_that_speaks_our_protocol_is_accepted(install: Callable[..., Any], declared: str) -> None:
    install("kdzoo-example", f"{ONE}\n    [kdzoo.protocol]\n    {declared}\n")
    assert registry.entry("methods", "mine").problem is None


def test_a_distribution_of_another_protocol_is_broken_without_being_imported(install: Callable[..., Any]) -> None:
    install("kdzoo-example", f"{ONE}\n    [kdzoo.protocol]\n    7 = plugin_one\n", plugin_one="class Mine: ...")
    with pytest.raises(PluginError, match="written for plugin protocol 7, this kdzoo speaks 1"):
        registry.get("methods", "mine")
    assert "plugin_one" not in sys.modules


SUMMARIES = '''
    """Of the module. More."""
    import nowhere
    class Mine:
        """Learns from soft targets (Hinton et al. 2015),
        i.e. from the teacher. Further sentences

        and paragraphs.
        """
    class Silent: ...
'''


@pytest.mark.parametrize(
    ("target", "summary"),
    [
        ("plugin_one:Mine", "Learns from soft targets (Hinton et al. 2015), i.e. from the teacher"),
        ("plugin_one:Silent", "Of the module"),
        ("plugin_nowhere:Mine", ""),
        ("plugin_one.inner:Mine", ""),
        ("sys:path", ""),
    ],
)
def test_the_summary_is_the_first_sentence_read_without_importing(
    install: Callable[..., Any], target: str, summary: str
) -> None:
    install("kdzoo-example", f"[kdzoo.methods]\nmine = {target}\n", plugin_one=SUMMARIES)
    assert registry.entry("methods", "mine").summary == summary
    assert "plugin_one" not in sys.modules


def test_a_module_inside_a_package_is_summarized_without_importing_the_package(install: Callable[..., Any]) -> None:
    folder = install("kdzoo-example", "[kdzoo.methods]\nmine = plugin_pack.inner:Mine\n")
    (folder / "plugin_pack").mkdir()
    (folder / "plugin_pack" / "__init__.py").write_text("raise RuntimeError")
    (folder / "plugin_pack" / "inner.py").write_text('"""Inside."""\n')
    assert registry.entry("methods", "mine").summary == "Inside"
