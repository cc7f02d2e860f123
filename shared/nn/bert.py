"""The BERT family (BERT, RoBERTa, XLM-RoBERTa and what is built like them) on packed tokens.

The reference is transformers' `BertModel`; the differences are speed alone: there is no padding to compute, and queries, keys and values
come from one matrix product. Attention needs whole texts, so neighbours of equal length are attended together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.bundle import AdaptedName
from shared.nn.adapter import Run, add
from shared.nn.tokens import Packed, locate, pad
from shared.nn.varlen import Kernel, attend

FAMILY = ("bert", "roberta", "xlm-roberta", "camembert")
_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a transformers `config.json` decides the network."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    types: int
    epsilon: float
    approximate: str  # of gelu
    first_position: int  # RoBERTa counts from the padding token's id + 1
    dropout: float

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Shape | None":
        """None where the config asks for something that this network is not; transformers' own class serves it then."""
        family = config.get("model_type")
        plain = config.get("position_embedding_type", "absolute") == "absolute" and not config.get("is_decoder")
        if family not in FAMILY or not plain or config["hidden_act"] not in _ACTIVATIONS:
            return None
        return cls(
            vocabulary=config["vocab_size"],
            width=config["hidden_size"],
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            inner=config["intermediate_size"],
            positions=config["max_position_embeddings"],
            types=config["type_vocab_size"],
            epsilon=config.get("layer_norm_eps", 1e-12),
            approximate=_ACTIVATIONS[config["hidden_act"]],
            first_position=0 if family == "bert" else config.get("pad_token_id", 1) + 1,
            dropout=config.get("hidden_dropout_prob", 0.1),
        )


class Bert(nn.Module):
    """`forward(packed)` returns hidden states [sum(lengths), width * layers asked for], side by side.

    Args:
        layers: whose outputs, counted from 1; empty: the last one's. Layers above the highest of them are not computed.

    Raises:
        ValueError: there is no such layer.
    """

    def __init__(self, shape: Shape, layers: Sequence[int] = ()) -> None:
        super().__init__()
        self.shape = shape
        self.outputs = tuple(layers) or (shape.layers,)
        if not all(1 <= layer <= shape.layers for layer in self.outputs):
            raise ValueError(f"layers {self.outputs}: the network has layers 1 to {shape.layers}")
        self.words = _embedding(shape.vocabulary, shape.width)
        self.positions = _embedding(shape.positions, shape.width)
        self.types = _embedding(shape.types, shape.width)
        self.norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)
        # How attention is grouped. On a GPU many small launches cost more than padding does; on a CPU it is the other way round.
        self.padded_attention: bool | None = None  # None: as suits the device
        self.kernel: Kernel | None = None  # with one, attention is neither grouped nor padded
        self.dtype = torch.float32  # of the layers, and of what passes between them
        self.layers = nn.ModuleList(_Layer(shape, number) for number in range(shape.layers))

    @property
    def depth(self) -> int:
        """Layers that are computed."""
        return max(self.outputs)

    def forward(self, packed: Packed) -> Tensor:
        padded = self.padded_attention if self.padded_attention is not None else packed.ids.device.type != "cpu"
        spans = _Spans(packed, padded, self.kernel)
        hidden = self.words(packed.ids) + self.positions(spans.positions + self.shape.first_position)
        hidden = hidden + (self.types(packed.types) if self.shape.types > 1 else self.types.weight[0])
        hidden = self.dropout(self.norm(hidden)).to(self.dtype)
        kept: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers[: self.depth], 1):
            hidden = layer(hidden, spans, packed.adapted)
            if number in self.outputs:
                kept[number] = hidden.float()
        return torch.cat([kept[number] for number in self.outputs], 1) if len(self.outputs) > 1 else hidden.float()


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Uniform, with BERT's standard deviation of 0.02: a normal distribution on the meta device would import sympy, for seconds."""
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width).uniform_(-0.035, 0.035))


class _Layer(nn.Module):
    def __init__(self, shape: Shape, number: int) -> None:
        super().__init__()
        self.heads, self.approximate, self.number = shape.heads, shape.approximate, number
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.mix = nn.Linear(shape.width, shape.width)
        self.mix_norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.widen = nn.Linear(shape.width, shape.inner)
        self.narrow = nn.Linear(shape.inner, shape.width)
        self.narrow_norm = nn.LayerNorm(shape.width, shape.epsilon)
        self.dropout = nn.Dropout(shape.dropout)
        self.finish: Callable[[_Layer, Tensor, Tensor], Tensor] = finish  # or what it was compiled to

    def forward(self, hidden: Tensor, spans: "_Spans", adapted: Sequence[Run] = ()) -> Tensor:
        attended = spans.attend(self.apply_linear("qkv", hidden, adapted), self.heads)
        return finish(self, hidden, attended, adapted) if adapted else self.finish(self, hidden, attended)

    def apply_linear(self, name: AdaptedName, x: Tensor, adapted: Sequence[Run]) -> Tensor:
        y: Tensor = getattr(self, name)(x)
        return add(adapted, (self.number, name), x, y) if adapted else y


def finish(layer: _Layer, hidden: Tensor, attended: Tensor, adapted: Sequence[Run] = ()) -> Tensor:
    """All of a layer that a token needs no other one for."""
    hidden = layer.mix_norm(hidden + layer.dropout(layer.apply_linear("mix", attended, adapted)))
    inner = functional.gelu(layer.apply_linear("widen", hidden, adapted), approximate=layer.approximate)
    return layer.narrow_norm(hidden + layer.dropout(layer.apply_linear("narrow", inner, adapted)))  # type: ignore[no-any-return]


class _Spans:
    """Where each text lies in a packed batch."""

    def __init__(self, packed: Packed, padded: bool, kernel: Kernel | None = None) -> None:
        device = packed.ids.device
        self.kernel = kernel
        if kernel is not None:
            self.places = locate(packed)
            self.positions = self.places.positions
            return
        self.groups = tuple((length, sum(1 for _ in same)) for length, same in groupby(packed.lengths))
        self.positions = torch.cat([torch.arange(length).repeat(rows) for length, rows in self.groups]).to(device)
        self.mask = pad(packed, 0)[2] if padded else None

    def attend(self, qkv: Tensor, heads: int) -> Tensor:
        """[tokens, 3 * width] to [tokens, width]; each text attends to itself."""
        if self.kernel is not None:
            return attend(qkv, heads, self.places, self.kernel)
        if self.mask is None:
            return torch.cat(list(self._by_length(qkv, heads)))
        padded = qkv.new_zeros(*self.mask.shape, qkv.shape[1])
        padded[self.mask] = qkv
        return _attend(padded, heads, self.mask[:, None, None, :])[self.mask]

    def _by_length(self, qkv: Tensor, heads: int) -> Iterator[Tensor]:
        sizes = [length * rows for length, rows in self.groups]
        for (length, rows), part in zip(self.groups, torch.split(qkv, sizes), strict=True):
            yield _attend(part.view(rows, length, -1), heads, None).reshape(rows * length, -1)


def _attend(qkv: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """[n, length, 3 * width] to [n, length, width]."""
    rows, length, _ = qkv.shape
    query, key, value = qkv.view(rows, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return mixed.transpose(1, 2).reshape(rows, length, -1)


# transformers' names of our parameters, for one layer and for what comes before the layers
_LAYER = {
    "mix": "attention.output.dense",
    "mix_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "narrow_norm": "output.LayerNorm",
}
_STEM = {
    "words.weight": "embeddings.word_embeddings.weight",
    "positions.weight": "embeddings.position_embeddings.weight",
    "types.weight": "embeddings.token_type_embeddings.weight",
    "norm.weight": "embeddings.LayerNorm.weight",
    "norm.bias": "embeddings.LayerNorm.bias",
}


def read_weights(network: Bert, weights: Mapping[str, Tensor]) -> None:
    """Fills `network` from tensors under transformers' names.

    Raises:
        KeyError: a tensor is missing; the message names it.
    """
    prefix = next((name.split("embeddings.")[0] for name in weights if "embeddings.word_embeddings" in name), "")
    state = {ours: weights[prefix + theirs] for ours, theirs in _STEM.items()}
    for index in range(network.shape.layers):
        there = f"{prefix}encoder.layer.{index}."
        for kind in ("weight", "bias"):
            parts = [weights[f"{there}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"layers.{index}.qkv.{kind}"] = torch.cat(parts)
            state |= {
                f"layers.{index}.{ours}.{kind}": weights[f"{there}{theirs}.{kind}"] for ours, theirs in _LAYER.items()
            }
    # Copies: what safetensors gives is the file itself, mapped into memory, which may change after it was verified.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}
    network.load_state_dict(copies, assign=True)


def write_weights(network: Bert) -> dict[str, Tensor]:
    """The inverse of `read_weights`: what transformers' `from_pretrained` reads too."""
    state = network.state_dict()
    weights = {theirs: state[ours] for ours, theirs in _STEM.items()}
    for index in range(network.shape.layers):
        there = f"encoder.layer.{index}."
        for kind in ("weight", "bias"):
            parts = state[f"layers.{index}.qkv.{kind}"].chunk(3)
            for part, tensor in zip(("query", "key", "value"), parts, strict=True):
                weights[f"{there}attention.self.{part}.{kind}"] = tensor
            weights |= {
                f"{there}{theirs}.{kind}": state[f"layers.{index}.{ours}.{kind}"] for ours, theirs in _LAYER.items()
            }
    return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
