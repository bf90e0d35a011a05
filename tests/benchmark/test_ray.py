"""A bench on a Ray cluster: two machines' worth of it on this one, of which one is lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kdzoo import registry
from kdzoo.benchmark import CellDone, CellStarted, bench
from kdzoo.cli import main
from kdzoo.errors import MissingError, RecipeError
from kdzoo.protocol.method import Method

pytestmark = pytest.mark.usefixtures("only_installed_plugins")
NODES = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_log_monitor": False}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster whose head and only other node have a core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODES, "include_dashboard": False, "no_monitor": True})
    yield made
    made.shutdown()


def finished(folder: Path) -> dict[tuple[str, int], tuple[Any, int]]:
    """Row and seed of every cell -> its test metrics, and when its result was written."""
    files = sorted(folder.glob("cells/*/*/result.json"))
    found = [((file.parent.parent.name, json.loads(file.read_text())["seed"]), file) for file in files]
    assert len(found) == len(dict(found))
    return {cell: (json.loads(file.read_text())["test"], file.stat().st_mtime_ns) for cell, file in found}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_machine_is_lost_and_every_cell_finishes_once(cluster: Any, tiny: dict[str, Any], tmp_path: Path) -> None:
    doomed = cluster.add_node(**NODES)
    cluster.wait_for_nodes()
    events: list[Any] = []
    at_the_loss: dict[tuple[str, int], tuple[Any, int]] = {}

    def heard(event: Any) -> None:
        events.append(event)
        under_way = sum(isinstance(e, CellStarted) for e in events) - sum(isinstance(e, CellDone) for e in events)
        if not at_the_loss and any(isinstance(e, CellDone) for e in events) and under_way == 2:
            at_the_loss.update(finished(Path(tiny["runtime"]["out"]) / "tiny"))
            cluster.remove_node(doomed, allow_graceful=False)

    tiny["train"]["epochs"] = 30
    board = bench(tiny, executor="ray", address=cluster.address, cohort=1, on_event=heard)
    assert at_the_loss
    assert board.failures == {}
    ended = [(event.row, event.seed) for event in events if isinstance(event, CellDone)]
    assert sorted(ended) == sorted((row, seed) for row in ("student alone", "kd", "dist") for seed in (0, 1))
    everything = finished(board.folder)
    assert {cell: everything[cell] for cell in at_the_loss} == at_the_loss  # what was finished stays untouched
    alone = bench(tiny, workers=1, out=tmp_path / "alone")
    numbers = {cell: test for cell, (test, _) in everything.items()}
    assert numbers == {cell: test for cell, (test, _) in finished(alone.folder).items()}


def test_an_address_where_no_cluster_answers_is_told(tiny: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"--address 'head' is no HOST:PORT, such as `ray start --head` prints"):
        bench(tiny, executor="ray", address="head")
    with pytest.raises(RecipeError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 .* Start one by `ray start --head`"):
        bench(tiny, executor="ray", address="127.0.0.1:1")


def test_without_ray_the_extra_is_named(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match=r"needs Ray, which is not installed\. Run: pip install .*ray"):
        bench(tiny, executor="ray")


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "an executor that there is not": (lambda: {"executor": "rya"}, r"there is no executor 'rya'; did you mean 'ray'\?"),
    "an address without Ray": (
        lambda: {"address": "host:1"},
        r"'host:1' is that of a Ray cluster; give executor 'ray' with it",
    ),
    "workers with Ray": (lambda: {"executor": "ray", "workers": 2}, r"a Ray cluster has a worker for each GPU"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_told(case: str, tiny: dict[str, Any]) -> None:
    given, sentence = WRONG[case]
    with pytest.raises(RecipeError, match=sentence):
        bench(tiny, **given())


def test_plugins_of_this_process_alone_are_refused(tiny: dict[str, Any]) -> None:
    registry.register("methods", "only_here", Method)
    tiny["bench"]["methods"]["own"] = {"methods": {"hard_label": {}, "only_here": {}}}
    with pytest.raises(RecipeError, match=r"only_here: only this process has it, so the cluster's machines lack it"):
        bench(tiny, executor="ray")


def test_the_command_line_takes_an_executor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "quickstart", "--address", "host:1"]) == 2
    assert "give executor 'ray' with it" in capsys.readouterr().err
