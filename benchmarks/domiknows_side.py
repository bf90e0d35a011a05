"""The other side of `knowledge.py`: DomiKnowS, in an environment of its own that has it and torch, and not kdzoo.

It reads the path of a file of logits, and then jobs from standard input, one a line: `loss 64` or `inference 64`, the work and
the number of images. For each it writes one line of JSON: seconds (grounding by sensors is not counted), and values to compare.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from domiknows import setProductionLogMode
from domiknows.graph import Concept, EnumConcept, Graph, Relation
from domiknows.graph.logicalConstrain import ifL
from domiknows.program import SolverPOIProgram
from domiknows.program.loss import NBCrossEntropyLoss
from domiknows.program.metric import MacroAverageTracker
from domiknows.sensor.pytorch.relation_sensors import EdgeSensor
from domiknows.sensor.pytorch.sensors import FunctionalSensor, ReaderSensor
from torch import Tensor


def declared(parent: list[int], coarse_classes: int) -> tuple[Graph, dict[str, Any]]:
    """Ten rules: each fine class implies its coarse one."""
    Graph.clear()
    Concept.clear()
    Relation.clear()
    with Graph("hierarchy") as graph:
        batch, image = Concept(name="batch"), Concept(name="image")
        (contains,) = batch.contains(image)
        fine = image(name="fine", ConceptClass=EnumConcept, values=[f"f{i}" for i in range(len(parent))])
        coarse = image(name="coarse", ConceptClass=EnumConcept, values=[f"c{i}" for i in range(coarse_classes)])
        for number, above in enumerate(parent):
            ifL(getattr(fine, f"f{number}")("x"), getattr(coarse, f"c{above}")(path=("x",)))
    return graph, {"batch": batch, "image": image, "contains": contains, "fine": fine, "coarse": coarse}


def grounded(graph: Graph, concepts: dict[str, Any], logits: dict[str, Tensor]) -> Any:
    """The data node of one batch."""
    batch, image, contains = concepts["batch"], concepts["image"], concepts["contains"]
    batch["index"] = ReaderSensor(keyword="batch")
    image["index"] = ReaderSensor(keyword="image")
    image[contains] = EdgeSensor(
        image["index"], batch["index"], relation=contains, forward=lambda images, _: torch.ones(len(images)).unsqueeze(-1)
    )
    for name in ("fine", "coarse"):
        image[concepts[name]] = FunctionalSensor("index", forward=lambda _, own=logits[name]: own)
    program = SolverPOIProgram(
        graph,
        poi=(batch, image, concepts["fine"], concepts["coarse"]),
        inferTypes=["local/softmax"],
        loss=MacroAverageTracker(NBCrossEntropyLoss()),
    )
    item = {"batch": [0], "image": list(range(len(logits["fine"])))}
    return next(iter(program.populate([item])))


def loss(node: Any, concepts: dict[str, Any]) -> tuple[float, float]:
    started = time.perf_counter()
    found = node.calculateLcLoss(tnorm="P")
    seconds = time.perf_counter() - started
    return seconds, sum(float(torch.as_tensor(own["loss"]).sum()) for own in found.values() if own.get("loss") is not None)


def inference(node: Any, concepts: dict[str, Any]) -> tuple[float, float]:
    fine, coarse = concepts["fine"], concepts["coarse"]
    started = time.perf_counter()
    node.inferILPResults(fine, coarse)
    seconds = time.perf_counter() - started
    nodes = node.findDatanodes(select=concepts["image"])
    return seconds, float(sum(int(torch.as_tensor(each.getAttribute(fine, "ILP")).argmax()) for each in nodes))


def main() -> None:
    setProductionLogMode(True)
    answers, sys.stdout = sys.stdout, sys.stderr
    given = np.load(sys.argv[1])
    graph, concepts = declared(given["parent"].tolist(), given["coarse"].shape[1])
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        work, images = line.split()
        logits = {name: torch.from_numpy(given[name][: int(images)]).clone() for name in ("fine", "coarse")}
        node = grounded(graph, concepts, logits)
        seconds, value = {"loss": loss, "inference": inference}[work](node, concepts)
        print(json.dumps({"seconds": seconds, "value": value}), file=answers, flush=True)


if __name__ == "__main__":
    main()
