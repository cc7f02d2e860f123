"""Linear heads on frozen vectors, their penalty and temperature chosen on rows that the deciding fit has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.training.regression import (
    Floats,
    Ints,
    Line,
    Space,
    Vectors,
    choose,
    cross_fit,
    find_space,
    fit,
    is_known,
    normalise,
)

STRENGTHS = (0.001, 0.003, 0.01, 0.03)  # inverse strengths of the L2 penalty, for features of variance 1
COMPONENTS = (
    384  # of the vectors' span that heads look at: out-of-fold figures are those of all of them, at a fifth of the time
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head, and what rows it was not fitted on say of it."""

    head: Line
    temperature: float
    strength: float
    known: Ints  # which of the vectors given have a label for this head
    rows: Ints  # which of them `logits` are of
    truth: Ints  # [rows], or of several right labels [rows, labels]
    known_truth: Ints  # as `truth`, of `known`
    learned: Ints  # which of them `head` was fitted on: `known`, or those of it that no validation part holds
    logits: Floats  # [rows, labels], each row's by a fit that saw none of its entity

    @property
    def learned_truth(self) -> Ints:
        """As `truth`, of `learned`."""
        return self.known_truth[np.isin(self.known, self.learned)]

    @property
    def probabilities(self) -> Floats:
        """Calibrated, of `rows`."""
        return normalise(self.logits, self.truth, self.temperature)


class Trainer:
    """Fits the heads of one route: they share the vectors, and the span that is found of them once.

    Args:
        vectors: [n, width], of the training and validation parts.
        folds: [n]; rows of one entity have one fold.
        validation: [n], for vectors of an encoder that was itself trained on all other rows: heads are then fitted on those and judged on
            these. None: the encoder saw no label, so every row is judged by a fit on the other folds (cross-fitting), which leaves a
            small data set whole.
    """

    def __init__(self, vectors: Vectors, folds: Ints, validation: NDArray[np.bool_] | None = None) -> None:
        self._space: Space = find_space(vectors, COMPONENTS)
        self._vectors, self._folds = self._space.project(vectors), folds
        self._validation = validation

    def fit(self, truth: Ints, labels: int, weights: Floats, corrected: NDArray[np.bool_] | None = None) -> Fitted:
        """The strength is that of the least calibrated NLL on rows not fitted on.

        Args:
            truth: [n], an index of a label, or [n, labels], of each label whether it is right; -1 where unknown.
            weights: [n], how much a row counts.
            corrected: [n], rows that people picked because the model erred: learned from, but no sample of what comes in, so that
                neither strength nor temperature is chosen by them.
        """
        labelled = is_known(truth)
        known = np.flatnonzero(labelled)
        if self._validation is None:
            learned = rows = known
        else:
            rows = np.flatnonzero(labelled & self._validation)
            learned = np.flatnonzero(labelled & ~self._validation)
        x, y, w = self._vectors[learned], truth[learned], weights[learned]
        starts: dict[int, Line] = {}

        def logits_at(strength: float) -> Floats:
            if self._validation is None:
                return cross_fit(x, y, labels, w, self._folds[learned], strength, starts)
            starts[0] = fit(x, y, labels, w, strength, starts.get(0))
            return starts[0].logits(self._vectors[rows])

        strength, temperature, logits = choose(STRENGTHS, logits_at, truth[rows], _typical(weights, corrected, rows))
        head = self._space.lift(fit(x, y, labels, w, strength))
        return Fitted(head, temperature, strength, known, rows, truth[rows], truth[known], learned, logits)


def _typical(weights: Floats, corrected: NDArray[np.bool_] | None, rows: Ints) -> Floats:
    """The weights of `rows`, without those of corrected ones, unless there are no others among them."""
    if corrected is None or corrected[rows].all():
        return weights[rows]
    return np.where(corrected, 0.0, weights)[rows]
