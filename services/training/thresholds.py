"""Where decisions turn, fixed on rows that the deciding fit has not seen."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NEVER = 1.01  # no probability reaches it
RETENTION = 0.95  # share of in-scope texts that must stay in scope
PRECISION = 0.90  # of confident answers
Z = 1.6449  # one-sided 95 %


def out_of_scope(scores: Floats, in_scope: NDArray[np.bool_], retention: float = RETENTION) -> float:
    """The score at and above which a text is out of scope: at least `retention` of the in-scope rows stay below it.

    No such threshold catches more of the rows that are out of scope. Where that leaves room, up to the next of those rows, it lies in
    the middle, so that what is easily told apart does not cost in-scope rows for nothing.
    """
    kept = np.sort(scores[in_scope])
    if not len(kept):
        return NEVER
    needed = int(np.ceil(retention * len(kept)))  # rows that must lie below
    lowest = min(float(np.nextafter(kept[needed - 1], 2.0)), NEVER)
    caught = scores[~in_scope & (scores >= lowest)]
    return (lowest + float(caught.min())) / 2 if len(caught) else lowest


def confident(probabilities: Floats, truth: NDArray[np.int64], precision: float = PRECISION) -> float:
    """The lowest confidence from which on answers are right at least `precision` of the time, as a one-sided 95 % bound; else `NEVER`."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    order = np.argsort(-confidence, kind="stable")
    hits, n = np.cumsum(right[order]), np.arange(1, len(order) + 1)
    last_of_ties = np.append(np.diff(confidence[order]) != 0, True) if len(order) else np.zeros(0, bool)
    good = np.flatnonzero((lower_share(hits, n) >= precision) & last_of_ties)
    return float(confidence[order][good[-1]]) if len(good) else NEVER


def lower_share(hits: NDArray[np.int64], n: NDArray[np.int64], z: float = Z) -> Floats:
    """Wilson's (1927) lower bound of a share, one-sided 95 % by default."""
    share = hits / n
    spread = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.asarray((share + z * z / (2 * n) - spread) / (1 + z * z / n), np.float64)
