"""Penalised softmax regression, fast enough to be fitted hundreds of times: the one fit behind our heads and behind the baseline."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.calibration import fit_temperature, nll, softmax

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

    The objective is that of scikit-learn's `LogisticRegression(C=strength)`. Deterministic; `start` saves steps and changes nothing else.
    """
    from scipy.optimize import minimize

    x = np.concatenate([vectors.astype(np.float64), np.ones((len(vectors), 1))], axis=1)
    share = weights / weights.sum()
    penalty = np.full(x.shape[1], 1 / (strength * weights.sum()))
    penalty[-1] = 0
    rows = np.arange(len(truth))

    def loss(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(labels, -1)
        logits = x @ parameters.T
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(axis=1)
        value = float(share @ (np.log(sums) - logits[rows, truth])) + 0.5 * float((penalty * parameters**2).sum())
        slope = powers * (share / sums)[:, None]
        slope[rows, truth] -= share
        return value, (slope.T @ x + penalty * parameters).ravel()

    first = np.zeros((labels, x.shape[1]))
    if start is not None:
        first = np.concatenate([start.weight, start.bias[:, None]], axis=1).astype(np.float64)
    # The loss is a mean of order 1: at this tolerance probabilities no longer change in the third digit.
    found = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200, "gtol": 1e-4})
    parameters = found.x.reshape(labels, -1).astype(np.float32)
    return Line(parameters[:, :-1].copy(), parameters[:, -1].copy())


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
        temperature = fit_temperature(logits, truth, weights)
        found.append((nll(softmax(logits, temperature), truth, weights), strength, temperature, logits))
    return min(found, key=lambda each: each[:2])[1:]
