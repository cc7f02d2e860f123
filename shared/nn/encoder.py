"""Text encoders: packed tokens in, one pooled vector a text out. One interface whatever the architecture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import tokenizers
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from shared.bundle import MAX_SPEC_BYTES, Encoder
from shared.nn.bert import Bert, Shape, read_weights, write_weights
from shared.nn.charngram import CharNgrams, NgramConfig, NgramTokenizer
from shared.nn.subwords import SubwordTokenizer
from shared.nn.target import TargetTokenizer
from shared.nn.tokens import Packed, Tokenizer

CONFIG = "config.json"


class Network(Protocol):
    """What every text encoder's module does; all of them are `nn.Module`s with ordinary, trainable parameters."""

    def __call__(self, packed: Packed) -> Tensor:
        """Float [texts, width]."""
        ...


class Pooled(nn.Module):
    """An encoder of tokens with pooling on top: the mean over a text's tokens, its first token's vector, or the mean beside that over
    the tokens whose id is `target` (over all of them where a text has none: [texts, 2 * width])."""

    def __init__(self, body: nn.Module, pooling: str, target: int | None = None) -> None:
        super().__init__()
        self.body, self.pooling, self.target = body, pooling, target
        self.pads = bool(getattr(body, "pads", False))  # it computes more than the tokens that it is given

    def forward(self, packed: Packed) -> Tensor:
        return self.pool(self.body(packed), packed)

    def pool(self, hidden: Tensor, packed: Packed) -> Tensor:
        """[tokens, width of the body] to [texts, width]."""
        places = packed.places
        lengths = torch.tensor(packed.lengths, device=hidden.device) if places is None else places.lengths
        if self.pooling == "cls":
            return hidden[lengths.cumsum(0) - lengths if places is None else places.starts]
        # Places were made by us; to look at them would stop the host until the device has come this far.
        unsafe = places is not None
        mean = torch.segment_reduce(hidden, "mean", lengths=lengths, axis=0, unsafe=unsafe)
        if self.target is None:
            return mean
        marks = (packed.ids == self.target).to(hidden.dtype)[:, None]
        count = torch.segment_reduce(marks, "sum", lengths=lengths, axis=0, unsafe=unsafe)
        marked = torch.segment_reduce(hidden * marks, "sum", lengths=lengths, axis=0, unsafe=unsafe) / count.clamp(
            min=1
        )
        return torch.cat([mean, torch.where(count > 0, marked, mean)], 1)


def load_network(folder: Path, spec: Encoder) -> nn.Module:
    """The encoder in `folder`, a verified bundle, in evaluation mode and fp32.

    Raises:
        KeyError, RuntimeError, ValueError: the weights or the configuration are not what the spec says.
    """
    config = read_config(folder)
    network: nn.Module
    if spec.architecture == "char-ngram":
        network = CharNgrams(NgramConfig.read(config))
        network.load_state_dict(load_file(folder / spec.weights))
    else:
        network = Pooled(_load_transformer(folder, spec, config), spec.pooling, _target_id(folder, spec))
    return network.eval()


def load_tokenizer(folder: Path, spec: Encoder) -> Tokenizer:
    """Raises ValueError if it makes tokens that the network has no vector for."""
    config = read_config(folder)
    inner: SubwordTokenizer | NgramTokenizer
    if spec.architecture == "char-ngram":
        inner = NgramTokenizer(NgramConfig.read(config), spec.max_tokens)
    else:
        inner = SubwordTokenizer(folder / "tokenizer.json", spec.max_tokens)
        if inner.vocabulary > config.get("vocab_size", inner.vocabulary):
            raise ValueError(f"tokenizer.json has {inner.vocabulary:,} tokens, the network {config['vocab_size']:,}")
    return TargetTokenizer(inner, spec.target) if spec.target else inner


def save_weights(network: nn.Module, path: Path) -> None:
    """The inverse of `load_network`: under the names that transformers reads, where it has such a network."""
    body = network.body if isinstance(network, Pooled) else network
    if isinstance(body, Bert):
        save_file(write_weights(body), path)
        return
    state = getattr(body, "model", body).state_dict()  # transformers' own model, where it is one
    save_file({name: tensor.detach().cpu().clone() for name, tensor in state.items()}, path)


def _target_id(folder: Path, spec: Encoder) -> int | None:
    """Raises ValueError where the spec asks for a target that is not one token."""
    if spec.pooling != "mean+target":
        return None
    token = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(spec.target)
    if token is None:
        raise ValueError(f"target {spec.target!r} is not a token of {folder / 'tokenizer.json'}")
    return int(token)


def read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if path.stat().st_size > MAX_SPEC_BYTES:
        raise ValueError(f"{path}: more than {MAX_SPEC_BYTES:,} bytes")
    config = json.loads(path.read_bytes())
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a JSON object")
    return config


def _load_transformer(folder: Path, spec: Encoder, config: Mapping[str, Any]) -> nn.Module:
    shape = Shape.read(config)
    if shape is None:
        if spec.layers:
            raise ValueError(f"layers {spec.layers} can be chosen for BERT-like encoders only")
        # imports transformers, which takes seconds: only where nothing else will do
        from shared.nn.foreign import Foreign

        return Foreign(folder)
    width = shape.width * max(len(spec.layers), 1) * (2 if spec.pooling == "mean+target" else 1)
    if spec.width != width or spec.max_tokens > shape.positions - shape.first_position:
        raise ValueError(f"width {spec.width} or max_tokens {spec.max_tokens} is not what {CONFIG} allows")
    # drawing random weights, only to overwrite them, takes longer than reading the real ones
    with torch.device("meta"):
        network = Bert(shape, spec.layers)
    read_weights(network, load_file(folder / spec.weights))
    return network
