"""Whether probabilities can be believed, and making them so. numpy alone: no torch, no scipy.

Everywhere: `logits` and `probabilities` are float [n, labels], `truth` int [n] (indices of labels), n >= 1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
# A few rows that are all right ask for certainty (temperature 0), which nobody can learn from a few rows.
_COLDEST, _HOTTEST = 0.2, 20.0
_TINY = 1e-12


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """softmax(logits / temperature) over the last axis."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled = scaled - scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float64)


def sigmoid(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """1 / (1 + exp(-logits / temperature)), each for itself."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64) / temperature, -700, 700))), np.float64)


def multi_label_nll(probabilities: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean over rows of the mean negative log likelihood of all labels, in nats; truth: [n, labels], 0 or 1."""
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth, np.float64)
    each = -(t * np.log(np.maximum(p, _TINY)) + (1 - t) * np.log(np.maximum(1 - p, _TINY)))
    return float(np.average(each.mean(axis=1), weights=_array(weights)))


def nll(probabilities: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log likelihood, in nats."""
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth, np.int64)
    return float(np.average(-np.log(np.maximum(p[np.arange(len(t)), t], _TINY)), weights=_array(weights)))


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean of `brier_scores`, 0 (perfect) to 2."""
    return float(brier_scores(probabilities, truth).mean())


def brier_scores(probabilities: ArrayLike, truth: ArrayLike) -> Floats:
    """For each row the sum over labels of (probability - truth)^2 (Brier 1950, "Verification of forecasts", eq. 2)."""
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth, np.int64)
    return np.asarray(((p - np.eye(p.shape[1])[t]) ** 2).sum(axis=1), np.float64)


def ece(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error of the most probable label, with equal-width bins (Guo et al. 2017, "On calibration of modern
    neural networks", eq. 3): the sum over bins of |share that is right - mean confidence|, weighted by the bin's share of rows."""
    p, t = np.asarray(probabilities, np.float64), np.asarray(truth, np.int64)
    return binned_error(p.max(axis=1), p.argmax(axis=1) == t, bins)


def binned_error(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> float:
    """`ece` from each row's confidence in (0, 1] and whether it was right."""
    sure, hit = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    where = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(where, hit - sure, minlength=bins)
    return float(np.abs(gap).sum() / len(sure))


def noise(confidence: ArrayLike, bins: int = BINS, draws: int = 400, quantile: float = 0.95, seed: int = 0) -> float:
    """The ECE that a *perfectly* calibrated model with these confidences stays below in `quantile` of samples of this size.

    Consistency resampling (Bröcker and Smith 2007, "Increasing the reliability of reliability diagrams"): an ECE under it is no
    evidence of miscalibration. With few rows it is far from zero, which is why an ECE must not be read without its n.
    """
    sure = np.asarray(confidence, np.float64)
    chance = np.random.default_rng(seed)
    errors = [binned_error(sure, chance.random(len(sure)) < sure, bins) for _ in range(draws)]
    return float(np.quantile(errors, quantile))


def fit_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """The temperature in [0.2, 20] under which `nll` of softmax(logits / temperature) is least (Guo et al. 2017, section 4.2).

    The NLL is convex in 1 / temperature, so a golden-section search over its logarithm finds the one minimum; to 4 digits.
    The ranking of labels does not change, so neither does accuracy.
    """
    z, t, w = np.asarray(logits, np.float64), np.asarray(truth, np.int64), _array(weights)
    return _search(lambda temperature: nll(softmax(z, temperature), t, w))


def fit_multi_label_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """As `fit_temperature`, for labels that are each right or not: of `multi_label_nll` of sigmoid(logits / temperature).

    Args:
        truth: [n, labels], 0 or 1.
    """
    z = np.asarray(logits, np.float64)
    return _search(lambda temperature: multi_label_nll(sigmoid(z, temperature), truth, weights))


def _search(loss_at: Callable[[float], float]) -> float:
    def loss(log_temperature: float) -> float:
        return loss_at(float(np.exp(log_temperature)))

    low, high, ratio = float(np.log(_COLDEST)), float(np.log(_HOTTEST)), (5**0.5 - 1) / 2
    while high - low > 1e-5:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def _array(weights: ArrayLike | None) -> Floats | None:
    return None if weights is None else np.asarray(weights, np.float64)
