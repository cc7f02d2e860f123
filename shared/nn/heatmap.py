"""Where in a picture a label is seen: class activation maps (Zhou et al. 2016), which are exact sums for heads that are linear in what is
pooled. HiResCAM (Draelos and Carin 2020) of the last maps is the same.

A cell's part is that of its vector, which has seen far beyond its own pixels; whether those matter is another question (docs/inference.md).
"""

import torch
from torch import Tensor


def spread(maps: Tensor, direction: Tensor) -> Tensor:
    """[n, h, w]: each cell's part of its picture's `direction` · pooled vector, which is their sum.

    Args:
        maps: [n, channels, h, w], of which `Classifier.pool` pools means and, behind them, maxima: each is the cell's alone which has it,
            or the first's of several.
        direction: [n, channels] (no maxima) or [n, 2 * channels].
    """
    n, channels, height, width = maps.shape
    cells = maps.flatten(2)
    heat = torch.einsum("ncs,nc->ns", cells, direction[:, :channels]) / (height * width)
    if direction.shape[1] > channels:
        peaks, where = cells.max(2)
        heat = heat.scatter_add(1, where, peaks * direction[:, channels:])
    return heat.view(n, height, width)
