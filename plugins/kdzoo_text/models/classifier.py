"""A transformer with a classification head, as kdzoo runs it: tensors in, logits out, with named taps.

Taps: `hidden0` (the embeddings' output) to `hiddenL`, (B, T, d); `cls0` to `clsL`, their first positions, (B, d); `query1` to
`queryL`, `key...` and `value...`, what goes into the attention of a layer, (B, T, d); `pooled`, what the classifier reads, and
`logits`. Attention scores and relations follow from queries, keys and values, so fused attention can stay on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from kdzoo.errors import CapabilityError, RecipeError
from kdzoo_text.models.locate import quiet

PROJECTIONS = {
    "query": ("query", "q_lin", "q_proj"),
    "key": ("key", "k_lin", "k_proj"),
    "value": ("value", "v_lin", "v_proj"),
}
"""What encoders of the transformers library call the linear maps into their attention."""


class TextClassifier(nn.Module):
    """A sequence classifier of the transformers library.

    Args:
        model: it. encoding: which of the task's encodings it reads; '' is that of the task's tokenizer.
        origin: the folder or name that it was loaded from, if it was.

    Attributes:
        layers, heads, width: of the encoder.
        causal: whether a position sees none behind it, so that the first one says nothing of the text.
        plain: whether attention is that of the tapped queries and keys: no position is hidden, and nothing turns them.
        positions: the longest text, in tokens; None where there is no limit.
        counts_from_pad: whether positions are counted from the number of the padding token on, as RoBERTa does.
        numbering: a digest of the numbers of tokens that it was trained on; None before a task has built it.
    """

    def __init__(self, model: nn.Module, *, encoding: str = "", origin: str | None = None) -> None:
        super().__init__()
        self.model, self.encoding, self.origin = model, encoding, origin
        self.numbering: str | None = None
        config: Any = model.config
        self.layers, self.heads, self.width = (
            int(config.num_hidden_layers),
            int(config.num_attention_heads),
            int(config.hidden_size),
        )
        self.causal = any(getattr(part, "is_causal", False) for part in model.modules())
        self.plain = not self.causal and not any("rotary" in name for name, _ in model.named_modules())
        self.positions = _positions(model)
        self.counts_from_pad = any(part.padding_idx is not None for part in _position_tables(model))
        self.hidden = nn.ModuleList(nn.Identity() for _ in range(self.layers + 1))
        self.cls = nn.ModuleList(nn.Identity() for _ in range(self.layers + 1))
        self.classifier_path = f"model.{_classifier(model)}"
        taps = {f"{name}{i}": f"{name}.{i}" for name in ("hidden", "cls") for i in range(self.layers + 1)}
        taps |= {name: f"model.{path}" for name, path in _projections(model).items()}
        self.taps = taps | {"pooled": f"{self.classifier_path}:input", "logits": self.classifier_path}

    def reads(self, names: Iterable[str]) -> dict[str, str]:
        """The inputs that matter to it, of those of all encodings: what it calls them -> what the task does."""
        parts = {name: name.rpartition(".") for name in names}
        return {own: name for name, (encoding, _, own) in parts.items() if encoding == self.encoding}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        **others: Tensor,
    ) -> Tensor:
        """Logits (B, C) of tokens (B, T). `others` are the inputs of further encodings, as `<encoding>.<name>`.

        Without any of those, tokens are of the model's own encoding.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        if self.encoding and others:
            inputs = {name: others.get(f"{self.encoding}.{name}") for name in inputs}
        given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        tapped = any(module._forward_hooks for module in (*self.hidden, *self.cls))
        answer = self.model(**given, output_hidden_states=tapped)
        if tapped and getattr(answer, "hidden_states", None) is None:
            raise CapabilityError(f"{type(self.model).__name__} gives no hidden states of its layers; compare logits instead.")
        for whole, first, states in zip(self.hidden, self.cls, answer.hidden_states if tapped else (), strict=False):
            first(whole(states)[:, 0])
        logits: Tensor = answer.logits
        return logits

    def save_pretrained(self, folder: str) -> None:
        """As the transformers library saves it, for `AutoModelForSequenceClassification.from_pretrained`, in one file."""
        with quiet():
            self.model.save_pretrained(folder, max_shard_size="1TB")  # type: ignore[operator]

    def from_library(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights under this module's names, where a file has those of the transformers library."""
        library = self.model.state_dict().keys()
        return {f"model.{name}": value for name, value in state.items()} if state.keys() == library else state


def wrapped(model: nn.Module) -> TextClassifier:
    """The user's own model as a `TextClassifier`. Raises CapabilityError: it is no classifier of the transformers library."""
    if isinstance(model, TextClassifier):
        return model
    if not hasattr(model, "config") or not hasattr(model, "save_pretrained"):
        raise CapabilityError(
            f"a model for texts must be one of the transformers library's, this one is a {type(model).__name__}; "
            "use AutoModelForSequenceClassification, or the model `hf`."
        )
    if not any(isinstance(layer, nn.Linear) for _, layer in _top(model)):
        raise CapabilityError(
            f"{type(model).__name__} has no classification head; load it by AutoModelForSequenceClassification, or use `hf`."
        )
    return TextClassifier(model)


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the parameters that match a glob as they are. Raises RecipeError: one that matches none."""
    named = dict(model.named_parameters())
    for pattern in patterns:
        found = [name for name in named if fnmatchcase(name, pattern)]
        if not found:
            raise RecipeError(f"freeze: no parameter matches {pattern!r}; there are e.g. {', '.join(list(named)[:3])}.")
        for name in found:
            named[name].requires_grad_(False)


def layer_list(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """The path and the list of the encoder's layers. Raises CapabilityError: it shares layers, or has another form."""
    count = model.config.num_hidden_layers  # type: ignore[union-attr]
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return path, module
    raise CapabilityError(f"{type(model).__name__} keeps no list of its {count} layers, so layers cannot be taken from it.")


def projection_paths(layer: nn.Module) -> dict[str, str]:
    """query, key and value -> the path of that linear map in a layer, as far as it has them."""
    linear = [path for path, module in layer.named_modules() if isinstance(module, nn.Linear)]
    found = {kind: [p for p in linear if p.rpartition(".")[2] in names] for kind, names in PROJECTIONS.items()}
    return {kind: paths[0] for kind, paths in found.items() if len(paths) == 1}


def _positions(model: nn.Module) -> int | None:
    """Those of the configuration, without the ones that RoBERTa's embeddings keep for padding."""
    longest = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(longest, int) or longest < 1:  # XLNet's is -1
        return None
    kept = [part.padding_idx + 1 for part in _position_tables(model) if part.padding_idx is not None]
    return longest - max(kept, default=0)


def _position_tables(model: nn.Module) -> list[nn.Embedding]:
    found = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    return [part for part in found if isinstance(part, nn.Embedding)]


def _projections(model: nn.Module) -> dict[str, str]:
    try:
        path, layers = layer_list(model)
    except CapabilityError:
        return {}
    found = [(number, projection_paths(layer)) for number, layer in enumerate(layers)]
    return {f"{kind}{number + 1}": f"{path}.{number}.{inner}" for number, own in found for kind, inner in own.items()}


def _classifier(model: nn.Module) -> str:
    """The path of the last linear layer outside the encoder."""
    linear = [path for path, layer in _top(model) if isinstance(layer, nn.Linear)]
    return linear[-1]


def _top(model: nn.Module) -> list[tuple[str, nn.Module]]:
    base = getattr(model, "base_model_prefix", "")
    return [(path, layer) for path, layer in model.named_modules() if path.split(".")[0] != base]


def same_tokens(student: nn.Module, teacher: nn.Module) -> bool:
    """Whether two models read the same encoding, so that their positions can be compared."""
    return bool(getattr(student, "encoding", "") == getattr(teacher, "encoding", ""))


def named_classes(model: nn.Module) -> list[str] | None:
    """What the model calls its classes; None where it only numbers them."""
    names = getattr(getattr(model, "config", None), "id2label", None) or {}
    found = [str(names[number]) for number in sorted(names)]
    return None if not found or all(name == f"LABEL_{number}" for number, name in enumerate(found)) else found


def call_classes(model: nn.Module, names: Sequence[str]) -> None:
    """Write the names of the classes into the model's configuration, which is saved with it."""
    config: Any = getattr(model, "config", None)
    if config is not None and names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: number for number, name in enumerate(names)}


def width_of_logits(model: nn.Module) -> int:
    """Classes that a sequence classifier tells apart."""
    return int(model.config.num_labels)  # type: ignore[union-attr, arg-type]


def initialize(model: nn.Module, module: nn.Module) -> None:
    """Draw the linear maps of a part anew, as the transformers library does: normal, biases at 0."""
    spread = float(getattr(model.config, "initializer_range", 0.02))  # type: ignore[arg-type]
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, spread)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
