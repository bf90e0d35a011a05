"""How the cost of DAN grows with the graph: step time and peak memory on 1/8, 1/4, 1/2 and all of FB15k-237's triples.

A step is a forward of the whole graph and of a batch of queries, the loss, the backward and Adam. All entities stay, so a cost
is a constant for them and a slope for the edges; a straight line is fitted to both figures. Time is the median of process CPU
time over steps (wall time on a GPU), memory the most bytes that the tensors made by a step held at once (parameters, optimizer
state and the graph are not in it). Without --data the graph is random, of the same size.

Run: `OMP_NUM_THREADS=1 python benchmarks/graph_scaling.py --data FOLDER_WITH_FB15K237 [--width 128] [--steps 5]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from kdzoo_graph.data.sources import FB15k237
from kdzoo_graph.data.triples import Triples
from kdzoo_graph.models import dan
from kdzoo_graph.tasks.link_prediction import LinkPrediction
from metadistil import Memory

from kdzoo.engine.results import environment
from kdzoo.protocol.needs import Needs
from kdzoo.protocol.outputs import MAIN, Batch
from kdzoo.random import Streams

SHARES = (0.125, 0.25, 0.5, 1.0)
ENTITIES, RELATIONS, TRIPLES, BATCH = 14541, 237, 272115, 512


class Part:
    """A share of the training triples; the whole set is permuted once, so smaller shares are parts of larger ones."""

    def __init__(self, share: float, data: Path | None) -> None:
        self.share, self.data = share, data

    def load(self, root: Path | None = None) -> Triples:
        whole = FB15k237().load(self.data) if self.data else _random()
        order = torch.randperm(len(whole.train), generator=torch.Generator().manual_seed(0))
        return replace(whole, train=whole.train[order[: round(self.share * len(order))]])


def _random() -> Triples:
    """As large as FB15k-237, with entities as unequal as there: the k-th is drawn with probability about 1 / k."""
    draw = torch.Generator().manual_seed(0)
    ends = (torch.rand(TRIPLES, 2, generator=draw) * np.log(ENTITIES)).exp().long().clamp(max=ENTITIES - 1)
    train = torch.stack([ends[:, 0], torch.randint(0, RELATIONS, (TRIPLES,), generator=draw), ends[:, 1]], 1)
    names = [[str(number) for number in range(count)] for count in (ENTITIES, RELATIONS)]
    return Triples("random", names[0], names[1], train, train[:0], train[:1], "")


def measure(share: float, data: Path | None, width: int, steps: int, device: torch.device) -> dict[str, float]:
    """Time and memory of a step at one size."""
    task = LinkPrediction(data=Part(share, data), unseen="keep")
    task.open(needs=Needs(), streams=Streams(0), device=device, root=None)
    torch.manual_seed(0)
    size = {"entities": task.entities, "relations": task.relations, "classes": task.entities}
    model = dan(**size, width=width, decoder="distmult").to(device)
    optimizer = torch.optim.Adam(model.parameters())

    def step(batch: Batch) -> float:
        start = clock(device)
        task.supervised(task.forward(model, batch, MAIN)).backward()
        optimizer.step()
        optimizer.zero_grad()
        return clock(device) - start

    order = torch.arange(task.size("train")).split(BATCH)[: steps + 2]
    first, second, *rest = task.batches("train", order, epoch=0, train=True)
    step(first)  # makes the edges and Adam's state
    with Memory() as memory:
        step(second)
    edges = len(task.context().edges) + len(task.context().incidence)
    return {"edges": edges, "seconds": statistics.median(map(step, rest)), "megabytes": memory.peak / 2**20}


def clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def line(rows: list[dict[str, float]], name: str) -> dict[str, float]:
    """A straight line through a figure: what it is without edges, its slope per million edges, and the share it explains."""
    x, y = (np.array([row[key] for row in rows]) for key in ("edges", name))
    slope, constant = np.polyfit(x, y, 1)
    rest = y - (slope * x + constant)
    return {"constant": constant, "per million edges": slope * 1e6, "r2": 1 - rest.var() / y.var()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with FB15k-237 or its archive")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(1)
    rows = [measure(share, given.data, given.width, given.steps, device) for share in SHARES]
    found = {"width": given.width, "graph": "FB15k-237" if given.data else "random", "sizes": rows}
    found |= {name: line(rows, name) for name in ("seconds", "megabytes")}
    print(json.dumps(found | environment(device), indent=1))


if __name__ == "__main__":
    main()
