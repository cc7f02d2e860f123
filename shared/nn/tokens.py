"""Texts as token ids, packed end to end: no padding exists anywhere until an architecture that needs it makes its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from shared.nn.adapter import Run

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text, or one pair of texts.

    ids: [length], special tokens included.
    types: [length], 0 for the text and 1 for its pair; None where all are 0.
    truncated: the text was longer than the encoder reads.
    """

    ids: Ids
    types: Ids | None = None
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


Span = tuple[int, int, int]  # 0: of the text, 1: of its pair; from which character, up to which


@dataclass(frozen=True, slots=True)
class Located:
    """Tokens, and what of the text they were made of.

    pieces: stretches of the text as it was given, in their order; None: nothing of it, as special tokens are.
    parts: for each token, its first piece and the one after its last; n-grams overlap, so a piece may be part of several tokens.
    """

    tokens: Tokens
    pieces: tuple[Span | None, ...]
    parts: tuple[tuple[int, int], ...]


class Tokenizer(Protocol):
    """Thread-safe. An empty string in `pairs` means that this text has no pair."""

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]: ...

    def locate(self, text: str, pair: str = "") -> Located:
        """The same tokens as `encode` makes, with their places, at several times the cost."""
        ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where the texts of a batch lie, told on its device: int32.

    positions: [tokens], of each token in its text. bounds: [texts + 1], where texts begin and end. lengths: [texts].
    longest: no text is longer.
    """

    positions: Tensor
    bounds: Tensor
    lengths: Tensor
    longest: int

    @property
    def starts(self) -> Tensor:
        """[texts]: each text's first token; of a text without tokens, some token."""
        return self.bounds[:-1].clamp(max=len(self.positions) - 1)


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch of texts, one after another: `ids` and `types` are integers [sum(lengths)].

    places: what networks that can then ask for instead of `lengths`, which would have to be sent to the device; None: they ask for those.
    adapted: whose adapters its tokens pass through, in their order; empty: none has any.
    """

    ids: Tensor
    types: Tensor
    lengths: tuple[int, ...]
    places: Places | None = None
    adapted: "tuple[Run, ...]" = ()

    def to(self, device: torch.device) -> "Packed":
        ids, types = (each.to(device, non_blocking=True) for each in (self.ids, self.types))
        return Packed(ids, types, self.lengths, adapted=self.adapted)


def pack(batch: Sequence[Tokens]) -> Packed:
    """Keeps the order. Attention is cheapest where equal lengths are neighbours, so sort by length first."""
    ids = np.concatenate([tokens.ids for tokens in batch])
    types = np.zeros_like(ids)
    start = 0
    for tokens in batch:
        if tokens.types is not None:
            types[start : start + len(tokens)] = tokens.types
        start += len(tokens)
    return Packed(torch.from_numpy(ids), torch.from_numpy(types), tuple(len(tokens) for tokens in batch))


def locate(packed: Packed) -> Places:
    """Its places, as it brings them or as its lengths tell."""
    if packed.places is not None:
        return packed.places
    ends = torch.tensor([0, *packed.lengths], dtype=torch.int32).cumsum(0, dtype=torch.int32)
    lengths = ends.diff()
    positions = torch.arange(int(ends[-1]), dtype=torch.int32) - ends[:-1].repeat_interleave(lengths)
    device = packed.ids.device
    return Places(positions.to(device), ends.to(device), lengths.to(device), max(packed.lengths))


def pad(packed: Packed, value: int) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, types, mask) as [n, longest]; mask is True at real tokens."""
    lengths = torch.tensor(packed.lengths, device=packed.ids.device)
    mask = torch.arange(max(packed.lengths), device=packed.ids.device) < lengths[:, None]
    ids = torch.full(mask.shape, value, dtype=torch.int64, device=packed.ids.device)
    types = torch.zeros_like(ids)
    ids[mask], types[mask] = packed.ids, packed.types
    return ids, types, mask
