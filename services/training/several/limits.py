"""From which probability on a label counts as right: a threshold for each, fixed on rows that the deciding fit has not seen."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from services.training.several.truth import Bools, Floats
from services.training.thresholds import NEVER

# A best F1 of fewer rows is one of chance (Fan and Lin 2007, "A study on threshold selection for multi-label classification",
# section 3): such labels share the threshold that is best for all labels together.
FEW = 10

Ints = NDArray[np.int64]


def find_limits(probabilities: Floats, truth: Bools, recall: float | None = None) -> Floats:
    """[labels]: the threshold of each label; `NEVER` where no row has it.

    Args:
        probabilities: [n, labels].
        recall: the highest threshold that finds at least this share of the label's rows. None: the one of the best F1.
    """
    if recall is not None:
        return _each(probabilities, truth, lambda scores, right: find_recall(scores, right, recall))
    together = find_f1(probabilities.ravel(), truth.ravel())
    return _each(probabilities, truth, lambda scores, right: find_f1(scores, right) if right.sum() >= FEW else together)


def _each(probabilities: Floats, truth: Bools, find: Callable[[Floats, Bools], float]) -> Floats:
    return np.array(
        [find(scores, right) if right.any() else NEVER for scores, right in zip(probabilities.T, truth.T, strict=True)]
    )


def find_f1(scores: Floats, right: Bools) -> float:
    """The threshold at and above which saying the label has the best F1 (Yang 2001, "A study of thresholding strategies", SCut)."""
    if not right.any():
        return NEVER
    cuts, hits, said = _cumulate(scores, right)
    f1 = 2 * hits / (said + right.sum())
    return _between(cuts, int(f1.argmax()))


def find_recall(scores: Floats, right: Bools, recall: float) -> float:
    """The highest threshold at and above which at least `recall` of the rows with the label lie."""
    if not right.any():
        return NEVER
    cuts, hits, _ = _cumulate(scores, right)
    return _between(cuts, int((hits >= np.ceil(recall * right.sum() - 1e-9)).argmax()))


def _cumulate(scores: Floats, right: Bools) -> tuple[Floats, Ints, Ints]:
    """(scores, from the highest down; rows at and above each that have the label; rows at and above each)."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of ties
    return scores[order][last], np.cumsum(right[order], dtype=np.int64)[last], np.asarray(last + 1, np.int64)


def _between(cuts: Floats, at: int) -> float:
    """In the middle between that score and the next below, where nothing changes for these rows, and new ones have room on both sides."""
    below = cuts[at + 1] if at + 1 < len(cuts) else 0.0
    return float((cuts[at] + below) / 2)
