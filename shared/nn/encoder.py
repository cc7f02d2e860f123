"""Text encoders: packed tokens in, one pooled vector a text out. One interface whatever the architecture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.bundle import MAX_SPEC_BYTES, Encoder
from shared.nn.bert import Bert, Shape, read_weights
from shared.nn.charngram import CharNgrams, NgramConfig, NgramTokenizer
from shared.nn.subwords import SubwordTokenizer
from shared.nn.tokens import Packed, Tokenizer

CONFIG = "config.json"


class Network(Protocol):
    """What every text encoder's module does; all of them are `nn.Module`s with ordinary, trainable parameters."""

    def __call__(self, packed: Packed) -> Tensor:
        """Float [texts, width]."""
        ...


class Pooled(nn.Module):
    """An encoder of tokens with pooling on top: the mean over a text's tokens, or its first token's vector."""

    def __init__(self, body: nn.Module, pooling: str) -> None:
        super().__init__()
        self.body, self.pooling = body, pooling

    def forward(self, packed: Packed) -> Tensor:
        hidden = self.body(packed)
        lengths = torch.tensor(packed.lengths, device=hidden.device)
        if self.pooling == "cls":
            return hidden[lengths.cumsum(0) - lengths]  # type: ignore[no-any-return]
        return torch.segment_reduce(hidden, "mean", lengths=lengths, axis=0)


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
        network = Pooled(_load_transformer(folder, spec, config), spec.pooling)
    return network.eval()


def load_tokenizer(folder: Path, spec: Encoder) -> Tokenizer:
    if spec.architecture == "char-ngram":
        return NgramTokenizer(NgramConfig.read(read_config(folder)), spec.max_tokens)
    return SubwordTokenizer(folder / "tokenizer.json", spec.max_tokens)


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
        from shared.nn.foreign import (
            Foreign,
        )  # imports transformers, which takes seconds: only where nothing else will do

        return Foreign(folder)
    network = Bert(shape)
    read_weights(network, load_file(folder / spec.weights))
    return network
