"""The few shapes that passes are made in, where each is recorded once. No torch here: which shape, and how it is filled, is arithmetic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST, LARGEST = 16, 4096  # tokens; what a larger pass computes takes longer than launching it does
SHORT = 128  # tokens of a text: one block of an attention kernel, so that where all are short the kernel is not launched for the others
SPARSE = 4  # tokens a text, on average, below which a pass takes the next shape: hardly any text has fewer

Lengths = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shape:
    """Passes of so many tokens in so many texts, none longer than `longest`; of them, some are there only to fill it up."""

    tokens: int
    texts: int
    longest: int

    def fits(self, tokens: int, texts: int, longest: int) -> bool:
        """Whether such a pass can be filled up to this shape, with texts no longer than its own may be."""
        room = (self.texts - texts) * self.longest
        return tokens <= self.tokens <= tokens + room and texts <= self.texts and longest <= self.longest

    def fill(self, lengths: Lengths) -> Lengths:
        """[texts]: the lengths of a pass that `fits`, then those of the texts that fill it up, as short as may be; some have no tokens."""
        over, more = self.tokens - int(lengths.sum()), self.texts - len(lengths)
        if not more:
            return lengths
        each, rest = divmod(over, more)
        return np.concatenate([lengths, np.full(rest, each + 1), np.full(more - rest, each)])


def list_shapes(most: int, largest: int = LARGEST) -> tuple[Shape, ...]:
    """Smallest first. The tokens of one are at most one and a half times those of the one before.

    Args:
        most: tokens of a text at most.
    """
    powers = [1 << power for power in range(SMALLEST.bit_length() - 1, largest.bit_length())]
    sizes = [size for power in powers for size in (power, power + power // 2) if size <= largest]
    shapes = []
    for tokens in sizes:
        longest = {min(SHORT, most, tokens), min(most, tokens)}
        shapes += [Shape(tokens, tokens // SPARSE + 1, each) for each in sorted(longest)]
    return tuple(shapes)


def find(shapes: tuple[Shape, ...], tokens: int, texts: int, longest: int) -> Shape | None:
    """The smallest that such a pass can be filled up to; None: it is too large, or has too many texts for its tokens."""
    return next((shape for shape in shapes if shape.fits(tokens, texts, longest)), None)
