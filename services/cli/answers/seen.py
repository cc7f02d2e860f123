"""Where in an image the label that won was seen, in characters and in colour."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from protos import event_pb2

CAUTION = "what the model went by, not the outline of a lesion"
# From this share of the largest score on: how a cell looks, for and against; readable without colour.
_LOOKS = ((0.5, "##", "black on green", "==", "white on red"), (0.15, "++", "green", "--", "red"))


def read_map(told: event_pb2.Explanation) -> NDArray[np.float32]:
    """[down, across]; empty where the explanation has no map, or one that does not fit its own size."""
    seen = told.seen
    if not seen.down * seen.across or len(seen.scores) != seen.down * seen.across:
        return np.zeros((0, 0), np.float32)
    return np.array(seen.scores, np.float32).reshape(seen.down, seen.across)


def draw(told: event_pb2.Explanation) -> Iterator[Text]:
    """The map, a line of cells after the other."""
    cells = read_map(told)
    most = float(np.abs(cells).max(initial=0.0)) or 1.0
    for row in cells / most:
        line = Text("  ")
        for cell in row:
            line.append(*_look(float(cell)))
        yield line
    yield Text(f"  ## ++ for it, == -- against it, in the square around the whole image: {CAUTION}", "dim")


def _look(strength: float) -> tuple[str, str]:
    for least, sign, style, against, against_style in _LOOKS:
        if abs(strength) >= least:
            return (sign, style) if strength > 0 else (against, against_style)
    return "··", "dim"
