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

    The objective is scikit-learn's `LogisticRegression(C=strength)`; this is deterministic, takes a start, and costs a tenth.
    """
    import torch

    x, y = torch.from_numpy(vectors), torch.from_numpy(truth)
    w = torch.from_numpy(weights.astype(np.float32))
    weight = torch.from_numpy(start.weight.copy() if start else np.zeros((labels, x.shape[1]), np.float32))
    bias = torch.from_numpy(start.bias.copy() if start else np.zeros(labels, np.float32))
    for parameter in (weight, bias):
        parameter.requires_grad = True
    scale = 1 / float(weights.sum())
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=60,
        history_size=12,
        tolerance_grad=1e-5,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        losses = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="none")
        total = scale * ((losses * w).sum() + weight.square().sum() / (2 * strength))
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return Line(weight.detach().numpy(), bias.detach().numpy())


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
