"""Small bundles, made where a test needs them: random weights, real files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from shared.bundle import ADAPTED, Adapter, Bundle, Encoder, Head, Precision, Route, publish
from shared.nn.adapter import Place, save_adapter
from shared.nn.bert import Bert, Shape, write_weights
from shared.nn.heads import Heads, save_heads

WIDTH = 32
INNER = 64
WORDS = [
    "where",
    "is",
    "my",
    "card",
    "parcel",
    "the",
    "bank",
    "please",
    "help",
    "lost",
    "late",
    "refund",
    "why",
    "and",
    "not",
]
CONFIG = {
    "model_type": "bert",
    "vocab_size": 64,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": INNER,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
ADAPTER = Adapter(weights="adapter.safetensors", rank=4, scale=0.5, linears=ADAPTED)


def write_tokenizer(path: Path) -> None:
    """Words of WORDS, [CLS] first and [SEP] last, pairs with types 0 and 1."""
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path))


def draw_pairs(seed: int) -> dict[Place, tuple[torch.Tensor, torch.Tensor]]:
    """Random a and b of ADAPTER for the encoder of CONFIG, large enough to change its answers."""
    chance = torch.Generator().manual_seed(seed)
    width, inner = WIDTH, INNER
    shapes = {"qkv": (width, 3 * width), "mix": (width, width), "widen": (width, inner), "narrow": (inner, width)}
    return {
        (layer, name): (
            torch.randn(ADAPTER.rank, shapes[name][0], generator=chance) / 4,
            torch.randn(shapes[name][1], ADAPTER.rank, generator=chance) / 4,
        )
        for layer in range(2)
        for name in ADAPTER.linears
    }


def publish_encoder(scratch: Path, store: Path, seed: int = 0, max_tokens: int = 32) -> str:
    """A tiny random BERT in the store; returns the digest that routes name."""
    folder = scratch / f"encoder-{seed}-{max_tokens}"
    folder.mkdir()
    torch.manual_seed(seed)
    shape = Shape.read(CONFIG)
    assert shape is not None
    (folder / "config.json").write_text(json.dumps(CONFIG))
    write_tokenizer(folder / "tokenizer.json")
    save_file(write_weights(Bert(shape)), folder / "model.safetensors")
    spec = Encoder(architecture="transformer", name="made for a test", width=WIDTH, max_tokens=max_tokens)
    return publish(folder, spec, store)[0].name


def publish_text(
    scratch: Path,
    store: Path,
    model: str,
    version: str,
    routes: Mapping[str, str],
    heads: Mapping[str, Sequence[str]],
    seed: int = 1,
    precision: Precision | None = None,
    adapter: int | None = None,
) -> str:
    """A text classifier with random heads; `routes`: language -> encoder; `adapter`: the seed of one that all routes have.

    Returns the digest that the ledger would name.
    """
    folder = scratch / f"{model}-{version}"
    folder.mkdir()
    torch.manual_seed(seed)
    counts = {head: len(labels) for head, labels in heads.items()}
    for language in routes:
        save_heads(Heads(WIDTH, counts), folder / f"heads-{_safe(language)}.safetensors")
    if adapter is not None:
        save_adapter(draw_pairs(adapter), folder / ADAPTER.weights)
    spec = Bundle(
        kind="text-classifier",
        model=model,
        heads={head: Head(labels=tuple(labels)) for head, labels in heads.items()},
        routes={
            language: Route(
                encoder=encoder,
                adapter=None if adapter is None else ADAPTER,
                weights=f"heads-{_safe(language)}.safetensors",
                temperature={"intent": 1.7},
            )
            for language, encoder in routes.items()
        },
        thresholds={"intent.confident": 0.7},
        precision=precision,
    )
    return publish(folder, spec, store, version)[1]


def publish_prior(scratch: Path, store: Path, model: str, version: str, prior: Mapping[str, float]) -> str:
    """A model with one head "finding" that always answers `prior`."""
    folder = scratch / f"{model}-{version}"
    folder.mkdir()
    spec = Bundle(
        kind="prior",
        model=model,
        heads={"finding": Head(labels=tuple(prior))},
        prior={"finding": tuple(prior.values())},
        thresholds={"finding.report": 0.5},
    )
    return publish(folder, spec, store, version)[1]


def sentence(length: int, seed: int) -> str:
    """`length` known words."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, length))


def _safe(language: str) -> str:
    return "any" if language == "*" else language
