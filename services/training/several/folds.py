"""Folds in which every label has its share of rows: left to chance, all rows of a rare one may lie in the same."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.training import split
from services.training.several.truth import Bools

Ints = NDArray[np.int64]


def stratify(entities: Sequence[str], truth: Bools, folds: int) -> Ints:
    """The fold [n] of every row; rows of one entity share it.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data", figure 1), of whole
    entities: the label with the fewest rows left is dealt out first, each of its entities to the fold that lacks it most. The order of
    the rows is of no meaning.

    Args:
        truth: [n, labels], which labels each row has.
    """
    named, member = np.unique(np.asarray(entities), return_inverse=True)
    counts = np.zeros(
        (len(named), truth.shape[1] + 1)
    )  # of each entity its rows with each label, and last all of its rows
    np.add.at(counts, member, np.column_stack([truth, np.ones(len(truth))]))
    order = sorted(range(len(named)), key=lambda at: split.fraction("stratify/1", str(named[at])))
    wanted = np.tile(counts.sum(axis=0) / folds, (folds, 1))
    left = counts.copy()
    chosen = np.full(len(named), -1, np.int64)
    while (chosen < 0).any():
        totals = left[:, :-1].sum(axis=0)
        # Rows without any label come last, and are dealt out by their number alone.
        label = int(np.where(totals > 0, totals, np.inf).argmin()) if totals.any() else -1
        for at in [at for at in order if chosen[at] < 0 and left[at, label] > 0]:
            fold = max(range(folds), key=lambda each: (wanted[each, label], wanted[each, -1], -each))
            chosen[at] = fold
            wanted[fold] -= counts[at]
            left[at] = 0
    return np.asarray(chosen[member], np.int64)
