"""A pass as one row of integers: written on the host, where the device can fetch it in one copy by itself, and read there as it lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from services.inference.buckets import Shape
from shared.nn.tokens import Packed, Places, Tokens

Row = NDArray[np.int32]
Either = TypeVar("Either", Row, Tensor)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Where what lies in the row of a pass of this shape: ids, types and positions of tokens; bounds and lengths of texts; the order in
    which their vectors are read."""

    shape: Shape

    @property
    def size(self) -> int:
        return 3 * self.shape.tokens + 3 * self.shape.texts + 1

    def write(self, row: Row, batch: Sequence[Tokens], order: Sequence[int]) -> None:
        """Fills `row`; what is left of the shape with texts that nobody reads."""
        ids, types, positions, bounds, lengths, last = self._part(row)
        lengths[:] = self.shape.fill(np.array([len(tokens) for tokens in batch], np.int64))
        bounds[0] = 0
        np.cumsum(lengths, out=bounds[1:])
        positions[:] = np.arange(self.shape.tokens) - np.repeat(bounds[:-1], lengths)
        known = int(bounds[len(batch)])
        np.concatenate([tokens.ids for tokens in batch], out=ids[:known], casting="same_kind")
        ids[known:], types[:] = 0, 0
        for start, tokens in zip(bounds, batch, strict=False):
            if tokens.types is not None:
                types[start : start + len(tokens)] = tokens.types
        last[: len(batch)], last[len(batch) :] = order, 0

    def read(self, row: Tensor, lengths: Sequence[int] = ()) -> tuple[Packed, Tensor]:
        """(the pass, [texts] order), without a copy.

        Args:
            lengths: as the host knows them; none where what is done with them would be recorded, and played again for other texts.
        """
        ids, types, positions, bounds, counts, order = self._part(row)
        places = Places(positions, bounds, counts, self.shape.longest)
        return Packed(ids, types, tuple(lengths), places), order

    def _part(self, row: Either) -> list[Either]:
        tokens, texts = self.shape.tokens, self.shape.texts
        sizes = (tokens, tokens, tokens, texts + 1, texts, texts)
        ends = np.cumsum(sizes).tolist()
        return [row[end - size : end] for size, end in zip(sizes, ends, strict=True)]
