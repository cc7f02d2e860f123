"""How well scores tell rows that have something from rows that have not, whatever the threshold."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive row's score is above a negative one's, ties counting half (Mann and Whitney 1947); NaN without both."""
    low = np.sort(scores[~positive])
    high = scores[positive]
    if not len(high) or not len(low):
        return float("nan")
    above, at_least = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((above + at_least).mean() / (2 * len(low)))


def average_precision(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """The mean over positive rows of the precision at their score (scikit-learn's `average_precision_score`); NaN without any."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of ties
    hits = np.cumsum(positive[order])[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / positive.sum())
