"""Linear heads on frozen vectors: penalised softmax regression, its strength chosen by cross-validation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.calibration import fit_temperature, nll, softmax

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Inverse strengths of the L2 penalty, for features of variance 1.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Head:
    """logits = vectors @ weight.T + bias."""

    weight: Vectors  # [labels, width]
    bias: Vectors  # [labels]

    def logits(self, vectors: Vectors) -> Floats:
        return vectors.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A head, and what rows it was not fitted on say of it."""

    head: Head
    temperature: float
    strength: float
    known: Ints  # which of the vectors given have a label for this head
    rows: Ints  # which of them `logits` are of
    truth: Ints  # [rows]
    logits: Floats  # [rows, labels], each row's by a head fitted without its entity


def fit_head(vectors: Vectors, truth: Ints, labels: int, weights: Floats, folds: Ints) -> Fitted:
    """Chooses the strength whose calibrated out-of-fold NLL is least, and fits on all rows with it.

    Temperature and thresholds come from the out-of-fold logits, so that a small data set need not be cut once more for them: each
    row is judged by a head that saw none of its entity (cross-fitting; Platt 1999, section 2.3).

    Args:
        truth: [n], an index of a label, -1 where unknown.
        weights: [n], how much a row counts.
        folds: [n], 0 to FOLDS - 1; rows of one entity have one fold.
    """
    known = np.flatnonzero(truth >= 0)
    x, y, w, fold = vectors[known], truth[known], weights[known], folds[known]
    strength, temperature, logits = _choose(lambda strength: cross_fit(x, y, labels, w, fold, strength), y, w)
    return Fitted(fit(x, y, labels, w, strength), temperature, strength, known, known, y, logits)


def fit_apart(vectors: Vectors, truth: Ints, labels: int, weights: Floats, validation: NDArray[np.bool_]) -> Fitted:
    """As `fit_head`, but on the rows outside `validation` alone, judged on those inside: for vectors of an encoder that was itself
    trained on the former.

    Args:
        validation: [n].
    """
    known, rows = np.flatnonzero(truth >= 0), np.flatnonzero((truth >= 0) & validation)
    learned = np.flatnonzero((truth >= 0) & ~validation)
    x, y, w = vectors[learned], truth[learned], weights[learned]
    strength, temperature, logits = _choose(
        lambda strength: fit(x, y, labels, w, strength).logits(vectors[rows]), truth[rows], weights[rows]
    )
    return Fitted(fit(x, y, labels, w, strength), temperature, strength, known, rows, truth[rows], logits)


def _choose(logits_at: Callable[[float], Floats], truth: Ints, weights: Floats) -> tuple[float, float, Floats]:
    """(strength, temperature, logits) of the least calibrated NLL."""
    found = []
    for strength in STRENGTHS:
        logits = logits_at(strength)
        temperature = fit_temperature(logits, truth, weights)
        found.append((nll(softmax(logits, temperature), truth, weights), strength, temperature, logits))
    return min(found, key=lambda each: each[:2])[1:]


def cross_fit(vectors: Vectors, truth: Ints, labels: int, weights: Floats, folds: Ints, strength: float) -> Floats:
    """Logits [n, labels] of every row by a head that was fitted on the other folds."""
    logits = np.zeros((len(truth), labels))
    for fold in np.unique(folds):
        inside = folds == fold
        head = fit(vectors[~inside], truth[~inside], labels, weights[~inside], strength)
        logits[inside] = head.logits(vectors[inside])
    return logits


def fit(vectors: Vectors, truth: Ints, labels: int, weights: Floats, strength: float, steps: int = 100) -> Head:
    """Minimises sum(weight * cross-entropy) + |W|^2 / (2 strength) by L-BFGS, over features standardised and folded back.

    Deterministic. The bias is not penalised, so that label frequencies are free.
    """
    import torch

    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
    x = torch.from_numpy(((vectors - mean) / spread).astype(np.float32))
    y, w = torch.from_numpy(truth), torch.from_numpy(weights.astype(np.float32))
    weight = torch.zeros(labels, x.shape[1], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=steps, tolerance_grad=1e-4, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        losses = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="none")
        total = (losses * w).sum() + weight.square().sum() / (2 * strength)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    unscaled = weight.detach().numpy() / spread
    shifted = bias.detach().numpy() - unscaled @ mean
    return Head(unscaled.astype(np.float32), shifted.astype(np.float32))
