"""Penalised logistic regression, fast enough to be fitted hundreds of times: the one fit behind our heads and behind the baseline.

Everywhere: `truth` is int [n], the index of the one right label, or [n, labels] of 0 and 1 where each label may be right or not; a row of
which nothing is known has -1.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.calibration import fit_multi_label_temperature, fit_temperature, multi_label_nll, nll, sigmoid, softmax

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """logits = vectors @ weight.T + bias."""

    weight: Vectors  # [labels, width]
    bias: Vectors  # [labels]

    def logits(self, vectors: Vectors) -> Floats:
        return vectors.astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias.astype(np.float64)


@dataclass(frozen=True, slots=True)
class Space:
    """An orthogonal basis of the span of some rows.

    The minimiser of a loss with an L2 penalty lies in that span, and the penalty does not change under rotation: fitting there is
    fitting in the full width (exactly, where no component was dropped), at the cost of as many columns as there are rows.
    """

    mean: Vectors  # [width]
    basis: Vectors  # [width, components], scaled: (vectors - mean) @ basis are the coordinates
    back: Vectors  # [components, width]: takes weights on coordinates to weights on vectors

    def project(self, vectors: Vectors) -> Vectors:
        return np.asarray((vectors - self.mean) @ self.basis, np.float32)

    def lift(self, line: Line) -> Line:
        """The same function of the vectors themselves."""
        weight = line.weight @ self.back
        return Line(np.asarray(weight, np.float32), np.asarray(line.bias - weight @ self.mean, np.float32))


def find_space(rows: Vectors, components: int = 0, *, standardise: bool = True) -> Space:
    """Of these rows, by the eigenvectors of their Gram matrix.

    Args:
        components: at most so many, the largest; 0: all.
        standardise: columns are brought to mean 0 and variance 1 first.
    """
    mean = rows.mean(axis=0) if standardise else np.zeros(rows.shape[1], np.float32)
    spread = rows.std(axis=0) + 1e-6 if standardise else np.ones(rows.shape[1], np.float32)
    scaled = ((rows - mean) / spread).astype(np.float64)
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = np.flatnonzero(values > 1e-7 * values.max(initial=1e-12))[::-1][: components or None]
    axes = scaled.T @ (vectors[:, kept] / np.sqrt(values[kept]))  # [width, components], orthonormal
    basis = (axes / spread[:, None]).astype(np.float32)
    return Space(mean.astype(np.float32), basis, basis.T.copy())


def fit(
    vectors: Vectors, truth: Ints, labels: int, weights: Floats, strength: float, start: Line | None = None
) -> Line:
    """Minimises sum(weight * cross-entropy) + |W|^2 / (2 strength) by L-BFGS; the bias is not penalised.

    The objective is that of scikit-learn's `LogisticRegression(C=strength)`; where each label may be right or not, that of its
    `OneVsRestClassifier` of the same: the sum over labels of the binary cross-entropy. Deterministic; `start` saves steps and changes
    nothing else.
    """
    from scipy.optimize import minimize

    x = np.concatenate([vectors.astype(np.float64), np.ones((len(vectors), 1))], axis=1)
    share = weights / weights.sum()
    penalty = np.full(x.shape[1], 1 / (strength * weights.sum()))
    penalty[-1] = 0
    measure = _one_right if truth.ndim == 1 else _several_right

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(labels, -1)
        value, slope = measure(x @ parameters.T, truth, share)
        return value + 0.5 * float((penalty * parameters**2).sum()), (slope.T @ x + penalty * parameters).ravel()

    first = np.zeros((labels, x.shape[1]))
    if start is not None:
        first = np.concatenate([start.weight, start.bias[:, None]], axis=1).astype(np.float64)
    # The loss is a mean of order 1: at this tolerance probabilities no longer change in the third digit.
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-4})
    parameters = found.x.reshape(labels, -1).astype(np.float32)
    return Line(parameters[:, :-1].copy(), parameters[:, -1].copy())


def _one_right(logits: Floats, truth: Ints, share: Floats) -> tuple[float, Floats]:
    """(mean cross-entropy of the softmax, its slope [n, labels] in the logits, which are written over)."""
    rows = np.arange(len(truth))
    logits -= logits.max(axis=1, keepdims=True)
    powers = np.exp(logits)
    sums = powers.sum(axis=1)
    value = float(share @ (np.log(sums) - logits[rows, truth]))
    slope = powers * (share / sums)[:, None]
    slope[rows, truth] -= share
    return value, slope


def _several_right(logits: Floats, truth: Ints, share: Floats) -> tuple[float, Floats]:
    """(mean over rows of the labels' summed binary cross-entropies, its slope [n, labels] in the logits)."""
    value = float(share @ (np.logaddexp(0, logits) - truth * logits).sum(axis=1))
    return value, (sigmoid(logits) - truth) * share[:, None]


def is_known(truth: Ints) -> NDArray[np.bool_]:
    """[n]: whether anything is known of the row."""
    return np.asarray((truth if truth.ndim == 1 else truth[:, 0]) >= 0, np.bool_)


def normalise(logits: Floats, truth: Ints, temperature: float = 1.0) -> Floats:
    """Probabilities [n, labels], by the kind of head that such a truth is of."""
    return softmax(logits, temperature) if truth.ndim == 1 else sigmoid(logits, temperature)


def calibrate(logits: Floats, truth: Ints, weights: Floats) -> tuple[float, float]:
    """(NLL, temperature) of the temperature under which the NLL is least."""
    if truth.ndim == 1:
        temperature = fit_temperature(logits, truth, weights)
        return nll(softmax(logits, temperature), truth, weights), temperature
    temperature = fit_multi_label_temperature(logits, truth, weights)
    return multi_label_nll(sigmoid(logits, temperature), truth, weights), temperature


def cross_fit(
    vectors: Vectors, truth: Ints, labels: int, weights: Floats, folds: Ints, strength: float, starts: dict[int, Line]
) -> Floats:
    """Logits [n, labels] of every row by a fit that saw none of its fold.

    Args:
        starts: the last fit of each fold, from which this one sets out; is updated.
    """
    logits = np.zeros((len(truth), labels))
    for fold in np.unique(folds).tolist():
        inside = folds == fold
        line = fit(vectors[~inside], truth[~inside], labels, weights[~inside], strength, starts.get(fold))
        starts[fold] = line
        logits[inside] = line.logits(vectors[inside])
    return logits


def choose(
    strengths: tuple[float, ...], logits_at: Callable[[float], Floats], truth: Ints, weights: Floats
) -> tuple[float, float, Floats]:
    """(strength, temperature, logits) of the least NLL after calibration. The strongest penalty is tried first: each fit warms the next."""
    found = []
    for strength in sorted(strengths):
        logits = logits_at(strength)
        loss, temperature = calibrate(logits, truth, weights)
        found.append((loss, strength, temperature, logits))
    return min(found, key=lambda each: each[:2])[1:]
