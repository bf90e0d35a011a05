"""Work on the machines of a Ray cluster, which schedules it, and does it again elsewhere where a machine is lost.

The runs' folders must lie on a file system that all machines share: that is where a run which lost its machine finds its
checkpoint, and where the report finds its result. Needs `kdzoo[ray]`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from kdzoo.benchmark.execute.events import Event, OnEvent
from kdzoo.benchmark.execute.job import Outcome, Work, carry_out
from kdzoo.errors import MachineFailed, MissingError, RecipeError
from kdzoo.extras import command

LOOK = 1.0
"""Seconds between two looks of a run at whether it should stop."""
RETRIES = 5
"""How often a piece of work may lose its machine."""
ANSWER = 10.0
"""Seconds in which a cluster's head must answer."""
PATIENCE = 300.0
"""Seconds that runs get for their checkpoints when a bench is stopped."""


class RayCluster:
    """An executor on a Ray cluster.

    Args:
        address: of the cluster's head, as `ray start --head` prints it; None starts one on this machine.
        folder: the bench's folder, which all machines must see.
        threads: cores for each piece of work. gpu: whether it also takes a GPU, if the cluster has any.
        plugins: files with the user's plugins.

    Raises:
        MissingError: Ray is not installed.
        RecipeError: no cluster answers there, or a machine does not see the folder.
    """

    def __init__(
        self, tell: OnEvent, *, address: str | None, folder: Path, threads: int, gpu: bool, plugins: Sequence[Path]
    ) -> None:
        self.ray = _ray()
        self.tell, self.threads = tell, threads
        self.mine = not self.ray.is_initialized()
        if self.mine:
            _connect(self.ray, address)
        try:
            self.gpu = gpu and self.ray.cluster_resources().get("GPU", 0) > 0
            self._check_cores()
            self._check_shared(folder)
            here = self.ray.get_runtime_context().get_node_id()
            self.desk = self.ray.remote(_Desk).options(num_cpus=0, scheduling_strategy=self._on(here)).remote()
        except BaseException:
            self._leave()
            raise
        self.task = self.ray.remote(_carry_out).options(num_cpus=threads, num_gpus=int(self.gpu), max_retries=RETRIES)
        self.given = (os.getcwd(), [str(path.resolve()) for path in plugins])
        self.submitted: list[Any] = []

    @property
    def slots(self) -> int:
        """Pieces of work that the cluster carries out at a time; more when machines join, fewer when they are lost."""
        resources = self.ray.cluster_resources()
        return max(int(resources.get("GPU", 0) if self.gpu else resources.get("CPU", 0) // self.threads), 1)

    @property
    def room(self) -> int:
        return self.slots + 1

    def submit(self, work: Work) -> Future[tuple[Outcome, ...]]:
        asked = self.task.remote(work, self.desk, *self.given)
        self.submitted.append(asked)
        future: Future[tuple[Outcome, ...]] = Future()
        asked.future().add_done_callback(lambda answered: self._hand_over(answered, future))
        return future

    def pump(self) -> None:
        try:
            events = self.ray.get(self.desk.take.remote())
        except self.ray.exceptions.RayError as error:
            raise MachineFailed(
                f"the Ray cluster no longer answers ({_said(error)}); finished cells are kept, and the same command goes on "
                "from here."
            ) from None
        for event in events:
            self.tell(event)

    def close(self, *, stop: bool) -> None:
        with contextlib.suppress(self.ray.exceptions.RayError, MachineFailed):
            if stop:
                self.ray.get(self.desk.stop.remote())
                self.ray.wait(self.submitted, num_returns=len(self.submitted), timeout=PATIENCE)
            self.pump()
            self.ray.kill(self.desk)
        self._leave()

    def _hand_over(self, answered: Future[tuple[Outcome, ...]], future: Future[tuple[Outcome, ...]]) -> None:
        error = answered.exception()
        if isinstance(error, self.ray.exceptions.RayError):
            error = MachineFailed(f"Ray could not carry it out ({_said(error)}); the same command tries it again.")
        if error is None:
            future.set_result(answered.result())
        else:
            future.set_exception(error)

    def _leave(self) -> None:
        if self.mine:
            self.ray.shutdown()

    def _on(self, node: str) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        return NodeAffinitySchedulingStrategy(node_id=node, soft=False)

    def _check_cores(self) -> None:
        """Refuse what would wait forever."""
        most = max((node["Resources"].get("CPU", 0) for node in self._nodes()), default=0)
        if most < self.threads:
            raise RecipeError(
                f"a run takes runtime.threads={self.threads} cores, but no machine of the Ray cluster has more than {most:g}; "
                "set fewer threads."
            )

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines that carry out work."""
        return [node for node in self.ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _check_shared(self, folder: Path) -> None:
        """Let every machine look for a file that was written just now."""
        token = folder.resolve() / f".shared.{uuid.uuid4().hex}"
        token.write_text("")
        try:
            nodes = self._nodes()
            sees = self.ray.remote(_sees)
            asked = [sees.options(num_cpus=0, scheduling_strategy=self._on(n["NodeID"])).remote(str(token)) for n in nodes]
            blind = [n["NodeManagerAddress"] for n, seen in zip(nodes, self.ray.get(asked), strict=True) if not seen]
        finally:
            token.unlink()
        if blind:
            raise RecipeError(
                f"of the Ray cluster, {', '.join(blind)} cannot see {folder.resolve()}: put --out on a file system that all "
                "machines share; or run a bench on each machine, and merge their folders by `kdzoo leaderboard`."
            )


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingError(f"--executor ray needs Ray, which is not installed. Run: {command('ray')}") from None
    return ray


def _said(error: BaseException) -> str:
    """What a library says, in one line."""
    return " ".join(str(error).split())[:200].rstrip(".")


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself tries for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise RecipeError(f"--address {address!r} is no HOST:PORT, such as `ray start --head` prints.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise _silent(address, error) from None


def _silent(address: str | None, error: BaseException) -> RecipeError:
    return RecipeError(
        f"no Ray cluster answers at {address or 'this machine'} ({_said(error)}). Start one by `ray start --head`, which "
        "prints its address, or leave --address out to start one on this machine."
    )


def _connect(ray: Any, address: str | None) -> None:
    if address not in (None, "auto"):
        _check_answers(str(address))
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns that it hides GPUs nobody asked for
    local = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error", **local)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _silent(address, error) from None


class _Desk:
    """An actor beside the bench: takes in events, and says whether to stop."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.stopping = False

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def take(self) -> list[Event]:
        taken, self.events = self.events, []
        return taken

    def stop(self) -> None:
        self.stopping = True

    def stopped(self) -> bool:
        return self.stopping


def _sees(path: str) -> bool:
    return Path(path).exists()


def _carry_out(work: Work, desk: Any, folder: str, plugins: Sequence[str]) -> tuple[Outcome, ...]:
    import ray

    from kdzoo import registry

    os.chdir(folder)
    for path in plugins:
        registry.load_file(path)
    looked, said = 0.0, False

    def stopping() -> bool:
        nonlocal looked, said
        if not said and time.monotonic() - looked > LOOK:
            said, looked = ray.get(desk.stopped.remote()), time.monotonic()
        return said

    return carry_out(work, desk.tell.remote, stopping)
