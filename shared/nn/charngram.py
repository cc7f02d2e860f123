"""Hashed character n-grams: an encoder for languages that we have no pretrained one for, small enough to be trained here.

After fastText (Bojanowski et al. 2017): every character n-gram of a text is hashed into one of `buckets` rows of an embedding, whose
mean is the text's vector. An optional projection makes it non-linear.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.nn.located import locate_characters
from shared.nn.tokens import Ids, Located, Packed, Tokens

_START, _END, _BETWEEN = "\x02", "\x03", "\x1f"
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_SHIFT = np.uint64(32)


@dataclass(frozen=True, slots=True)
class NgramConfig:
    """`config.json` of a char-ngram encoder: {"buckets", "width", "ngrams": [1, 2, 3], "hidden": 0}.

    hidden: width of the layer between the mean and the pooled vector; 0: there is none.
    """

    buckets: int
    width: int
    ngrams: tuple[int, ...] = (1, 2, 3)
    hidden: int = 0

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "NgramConfig":
        found = cls(config["buckets"], config["width"], tuple(config["ngrams"]), config.get("hidden", 0))
        if not 1 <= found.buckets <= 1 << 24 or not found.ngrams or not all(1 <= n <= 8 for n in found.ngrams):
            raise ValueError("a char-ngram encoder has 1 to 16,777,216 buckets and n-grams of 1 to 8 characters")
        return found


class NgramTokenizer:
    """Ids are hashes of n-grams: there is no vocabulary. `max_tokens` counts characters."""

    def __init__(self, config: NgramConfig, max_tokens: int) -> None:
        self._config, self._limit = config, max_tokens

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        return [self._one(text, pair) for text, pair in zip(texts, pairs or [""] * len(texts), strict=True)]

    def locate(self, text: str, pair: str = "") -> Located:
        """Its pieces are characters, each part of every n-gram that holds it."""
        read, truncated = self._read(text, pair)
        pieces, of = locate_characters(text, pair, _BETWEEN, read[1:-1], _normalise)
        parts = [
            _part(of, start - 1, start - 1 + n)
            for n in self._config.ngrams
            if n <= len(read)
            for start in range(len(read) - n + 1)
        ]
        return Located(Tokens(hash_ngrams(read, self._config), truncated=truncated), pieces, tuple(parts or [(0, 0)]))

    def _one(self, text: str, pair: str) -> Tokens:
        read, truncated = self._read(text, pair)
        return Tokens(hash_ngrams(read, self._config), truncated=truncated)

    def _read(self, text: str, pair: str) -> tuple[str, bool]:
        """(what n-grams are made of, whether it is not all of the text)."""
        whole = _normalise(text + _BETWEEN + pair if pair else text)
        return _START + whole[: self._limit] + _END, len(whole) > self._limit


def _normalise(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _part(of: Sequence[int], start: int, end: int) -> tuple[int, int]:
    """The pieces that the characters from `start` up to `end` belong to; beyond the text there is none."""
    inside = of[max(start, 0) : max(end, 0)]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def hash_ngrams(text: str, config: NgramConfig) -> Ids:
    """The bucket of every n-gram of `text`, shortest n-grams first; texts shorter than n have none of that n."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    found = [_hash(codes, n) % np.uint64(config.buckets) for n in config.ngrams if n <= len(codes)]
    return np.concatenate(found).astype(np.int64) if found else np.zeros(1, np.int64)


def _hash(codes: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """A polynomial over each window of n characters, modulo 2^64, then mixed so that its low bits depend on all of it."""
    value = np.full(len(codes) - n + 1, n, np.uint64)
    for offset in range(n):
        value = (value ^ codes[offset : len(codes) - n + 1 + offset]) * _FACTOR
        value ^= value >> _SHIFT
    value *= _MIX
    return value ^ (value >> _SHIFT)


class CharNgrams(nn.Module):
    """`forward(packed)` returns [texts, width]."""

    def __init__(self, config: NgramConfig) -> None:
        super().__init__()
        inner = config.hidden or config.width
        self.embedding = nn.EmbeddingBag(config.buckets, inner, mode="mean")
        self.project = nn.Linear(inner, config.width) if config.hidden else None

    def forward(self, packed: Packed) -> Tensor:
        lengths = torch.tensor(packed.lengths, device=packed.ids.device)
        pooled: Tensor = self.embedding(packed.ids, lengths.cumsum(0) - lengths)
        return pooled if self.project is None else self.project(functional.gelu(pooled))
