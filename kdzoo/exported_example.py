"""The example beside an exported network: a script that reads an input, asks the network, and prints its answer."""

from __future__ import annotations

from kdzoo.protocol.task import Task

EXAMPLE = "example.py"
LOADING = {
    "torch": """network = torch.export.load(HERE / "{file}").module()""",
    "onnx": """session = onnxruntime.InferenceSession(str(HERE / "{file}"), providers=["CPUExecutionProvider"])


def network(x):
    (entry,) = session.get_inputs()
    return torch.from_numpy(session.run(None, {{entry.name: x.numpy()}})[0])""",
    "safetensors": """network = deployed(HERE / "{file}").module()  # its code is kdzoo's, or that of the run's plugins""",
}
IMPORTS = {
    "torch": ("import torch",),
    "onnx": ("import onnxruntime", "import torch"),
    "safetensors": ("import torch", "from kdzoo.export import deployed"),
}
WHAT = {
    "torch": "plain PyTorch: kdzoo is not needed",
    "onnx": "ONNX Runtime: kdzoo is not needed",
    "safetensors": "kdzoo, which builds the network that the weights are for",
}
SCRIPT = '''"""Use the network in this folder with {what}.

{usage}
"""

import json
{standard}
from pathlib import Path

{imports}

HERE = Path(__file__).resolve().parent
CARD = json.loads((HERE / "model.json").read_text("utf-8"))
NAMES = CARD["class_names"]
{loading}


{asking}
'''
ASKING = '''def answer(path):
    """The most probable class of a file, and its probability."""
    with torch.no_grad():
        probabilities = network(read(path)).softmax(1)[0]
    best = int(probabilities.argmax())
    return NAMES[best] if NAMES else best, float(probabilities[best])


if __name__ == "__main__":
    for path in sys.argv[1:]:
        name, probability = answer(path)
        print(f"{path}: {name} ({100 * probability:.1f} %)")'''
SHAPES = """if __name__ == "__main__":
    print(network)"""


def example(to: str, file: str, task: Task) -> str:
    """The script's text for a format and the file with the weights; empty for one whose library has its own way."""
    if to not in LOADING:
        return ""
    reading = task.reading()
    imports = [
        *IMPORTS[to],
        *(["import numpy as np", "import torch.nn.functional as F", "from PIL import Image"] if reading else []),
    ]
    return SCRIPT.format(
        what=WHAT[to],
        usage="python example.py IMAGE..." if reading else "What it takes and gives is in model.json.",
        standard="import sys" if reading else "",
        imports="\n".join(sorted(imports, key=lambda line: (line.startswith("from"), line))),
        loading=LOADING[to].format(file=file),
        asking=f"{reading}\n\n\n{ASKING}" if reading else SHAPES,
    ).replace("import json\n\nfrom pathlib", "import json\nfrom pathlib")
