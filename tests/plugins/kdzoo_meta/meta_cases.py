"""Small exact tasks, networks and losses for the mathematics of moved teachers: float64, a few hundred parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from kdzoo_meta.metadistil import MetaDistil
from torch import Tensor, nn

from kdzoo import registry
from kdzoo.engine.run import Run
from kdzoo.models.tap_names import StageTaps, name_taps
from kdzoo.protocol.method import Method
from kdzoo.protocol.needs import Needs, term
from kdzoo.protocol.outputs import Batch, Step
from kdzoo.recipe.load import Recipe
from kdzoo.tasks.image_classification import ImageClassification
from kdzoo.testing import first_window, tiny_recipe, tiny_run


class ExactImages(ImageClassification):
    """Images in the default dtype, so that float64 models can be fed."""

    def _inputs(self, pixels: Tensor) -> Tensor:
        return super()._inputs(pixels).to(torch.get_default_dtype())


class SmoothMLP(nn.Module):
    """Linear, tanh, linear."""

    def __init__(self, *, classes: int, channels: int = 1, size: int, width: int = 6, dropout: float = 0.0) -> None:
        super().__init__()
        self.flatten, self.first = nn.Flatten(), nn.Linear(channels * size * size, width)
        self.act, self.drop, self.fc = nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, classes)
        name_taps(self, stem=None, stages=[StageTaps("act")], pooled="drop", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.act(self.first(self.flatten(x)))))


class Block(nn.Module):
    """Pre-norm attention (torch's fused one) and a GELU network."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.n1, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.n2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in self.qkv(self.n1(x)).chunk(3, -1))
        x = x + self.drop(self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(F.gelu(self.up(self.n2(x)))))


class TinyTransformer(nn.Module):
    """The rows of an image are its tokens."""

    def __init__(
        self, *, classes: int, channels: int = 1, size: int, width: int = 8, depth: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(channels * size, width), nn.Parameter(0.1 * torch.randn(size, width))
        self.body = nn.Sequential(*(Block(width, dropout) for _ in range(depth)))
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, classes)
        name_taps(self, stem=None, stages=[], pooled="norm", classifier="fc")

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.transpose(1, 2).flatten(2)) + self.place
        for block in self.body:
            x = self.through(block, x)
        return self.fc(self.norm(x.mean(1)))

    def through(self, block: nn.Module, x: Tensor) -> Tensor:
        return block(x)


class SoftmaxMSE(Method):
    """The released NLP loss: T^2 times the mean squared gap of tempered probabilities."""

    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        s, t = (o.rows.logits for o in (step.student, step.teacher))
        return 25 * F.mse_loss((s / 5).softmax(1), (t / 5).softmax(1))


class LogitMSE(Method):
    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        return F.mse_loss(step.student.rows.logits, step.teacher.rows.logits)


class ReverseKL(Method):
    def needs(self) -> Needs:
        return Needs(teacher=True)

    @term()
    def gap(self, step: Step) -> Tensor:
        log_q, log_p = ((o.rows.logits / 3).log_softmax(1) for o in (step.student, step.teacher))
        return 9 * (log_q.exp() * (log_q - log_p)).sum(1).mean()


class Hints(Method):
    """Normalized features through a trainable projector: a parameter of the method, in the inner step with the student's."""

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=("pooled",), teacher_taps=("pooled",))

    def setup(self, run: Run) -> None:
        (s,), (t,) = run.shapes(self)["pooled"], run.shapes(self, "teacher")["pooled"]
        self.project = nn.Linear(s, t)

    @term(weight=3.0)
    def gap(self, step: Step) -> Tensor:
        s, t = self.project(step.student.features["pooled"]), step.teacher.features["pooled"]
        return F.mse_loss(F.normalize(s, dim=1), F.normalize(t, dim=1))


class LogitTap(Method):
    """FeatureRecorder the very tensor that is also the logits."""

    def needs(self) -> Needs:
        return Needs(teacher=True, student_taps=("logits",), teacher_taps=("logits",))

    @term()
    def gap(self, step: Step) -> Tensor:
        return F.mse_loss(step.student.features["logits"].tanh(), step.teacher.features["logits"].tanh())


LOSSES: dict[str, dict[str, Any]] = {
    "kl": {"kd": {"temperature": 3.0}},
    "softmax_mse": {"meta_test_softmax_mse": {}},
    "logit_mse": {"meta_test_logit_mse": {}},
    "reverse_kl": {"meta_test_reverse_kl": {}},
    "features": {"meta_test_hints": {}, "kd": {}},
    "tap_of_logits": {"meta_test_logit_tap": {}, "kd": {}},
    "decoupled": {"dkd": {"logits": ["standardize"]}},
}
NETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mlp": ({"use": "meta_test_mlp"}, {"use": "meta_test_mlp", "width": 9}),
    "transformer": ({"use": "meta_test_transformer"}, {"use": "meta_test_transformer", "width": 12, "depth": 2}),
    "batchnorm": ({"use": "tiny_cnn", "widths": [3, 5]}, {"use": "tiny_cnn", "widths": [4, 7]}),
}
REGISTERED: dict[str, dict[str, Any]] = {
    "tasks": {"exact_images": ExactImages},
    "models": {"meta_test_mlp": SmoothMLP, "meta_test_transformer": TinyTransformer},
    "methods": {
        "meta_test_softmax_mse": SoftmaxMSE,
        "meta_test_logit_mse": LogitMSE,
        "meta_test_reverse_kl": ReverseKL,
        "meta_test_hints": Hints,
        "meta_test_logit_tap": LogitTap,
    },
}


def register(plugins: Mapping[str, Mapping[str, Any]] = REGISTERED) -> None:
    """These plugins (kind -> name -> plugin) under their names in this process; the task, the networks and the losses above."""
    for kind, named in plugins.items():
        for name, plugin in named.items():
            registry.register(kind, name, plugin)


def recipe(nets: str = "mlp", losses: str = "kl", settings: Mapping[str, Any] | None = None, **sections: Any) -> Recipe:
    """A MetaDistil recipe on digits: 12 samples a batch, 17 in a quiz."""
    student, teacher = NETS[nets]
    base: dict[str, Any] = {
        "task": {"use": "exact_images", "data": "digits", "train_size": 100, "validation": 1000, "crop": 1},
        "student": student,
        "teacher": {"use": "trainable", "model": teacher},
        "methods": LOSSES[losses],
        "optimizers": {"student": {"use": "sgd", "lr": 0.1}, "teacher": {"use": "sgd", "lr": 0.1, "momentum": 0.0}},
        "train": {"epochs": 2, "batch_size": 12},
    }
    return tiny_recipe("metadistil", {"quiz": 0.3, "quiz_batch": 17, **(settings or {})}, recipe=base | sections)


@contextmanager
def objective(
    nets: str = "mlp", losses: str = "kl", settings: Mapping[str, Any] | None = None, **sections: Any
) -> Iterator[tuple[Run, list[Batch]]]:
    """A run in its main stage and its first window."""
    with tiny_run(recipe(nets, losses, settings, **sections)) as run:
        yield run, first_window(run)


def meta_gradient(run: Run, window: Sequence[Batch]) -> dict[str, Tensor]:
    """The meta-gradient by the run's backend, as an update would compute it; the teacher's `.grad` is left clear."""
    method = run.methods["metadistil"]
    assert isinstance(method, MetaDistil)
    with run.streams.applied(run.device, "update_teacher", "test"):
        method.meta_gradient(window, run)
    found = {}
    for name, parameter in run.model("teacher").named_parameters():
        if parameter.grad is not None:
            found[name], parameter.grad = parameter.grad, None
    return found


def assert_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor], tolerance: float) -> None:
    """Largest difference over all entries, relative to the largest entry."""
    assert a.keys() == b.keys()
    assert a
    top = max(float(t.abs().max()) for t in b.values())
    worst = max(float((a[name] - b[name]).abs().max()) for name in a)
    assert top > 0
    assert worst <= tolerance * top, f"relative difference {worst / top:.1e} > {tolerance:.0e}"
