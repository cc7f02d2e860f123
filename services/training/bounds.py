"""One-sided 95 % bounds from few, paired and clustered observations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
from numpy.typing import NDArray

Z = 1.6449  # one-sided 95 %


@dataclass(frozen=True, slots=True)
class Bound:
    """A mean difference and where it may lie, each side by itself with 95 % confidence."""

    mean: float
    low: float
    high: float
    n: int

    def as_json(self) -> dict[str, float]:
        return {"mean": round(self.mean, 4), "low": round(self.low, 4), "high": round(self.high, 4), "n": self.n}


def paired(differences: NDArray[np.float64], clusters: Sequence[str]) -> Bound:
    """Bounds of the mean of per-item differences in [-1, 1] between two models that answered the same items.

    Items of one cluster (a pair of paraphrases, a patient) are not independent: the variance is that of cluster sums (the ratio
    estimator's; Cochran 1977, "Sampling techniques", section 6.3). One imagined gain and one loss, each of half an item, are added
    (Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions"), so that twenty equal answers are
    not taken for proof that two models are equal.
    """
    n = len(differences)
    if n == 0:
        return Bound(0.0, -1.0, 1.0, 0)
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(member, differences, minlength=len(names))
    sizes = np.bincount(member, minlength=len(names))
    mean = float(sums.sum() / (n + 2))
    square = float(((sums - mean * sizes) ** 2).sum() + 0.5 * ((1 - mean) ** 2 + (1 + mean) ** 2) + mean**2)
    spread = Z * sqrt(square) / (n + 2)
    return Bound(float(differences.mean()), max(mean - spread, -1.0), min(mean + spread, 1.0), n)


def resampled(
    statistic: Callable[[NDArray[np.int64]], float], clusters: Sequence[str], draws: int = 500, seed: int = 0
) -> Bound:
    """Bounds of a statistic of rows, by drawing whole clusters with replacement (Efron and Tibshirani 1993, "An introduction to the
    bootstrap", chapter 8).

    A statistic such as an ECE is larger in a resample than in the sample, so the spread is taken about the resamples' own median.
    """
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    rows = np.arange(len(member))
    order = np.argsort(member, kind="stable")
    groups = np.split(rows[order], np.cumsum(np.bincount(member, minlength=len(names)))[:-1])
    chance = np.random.default_rng(seed)
    drawn = (chance.integers(len(names), size=len(names)) for _ in range(draws))
    low, middle, high = np.quantile(
        [statistic(np.concatenate([groups[name] for name in each])) for each in drawn], [0.05, 0.5, 0.95]
    )
    found = statistic(rows)
    return Bound(found, float(found + low - middle), float(found + high - middle), len(rows))


def share(hits: int, n: int) -> Bound:
    """Wilson's (1927) bounds of a share."""
    if n == 0:
        return Bound(0.0, 0.0, 1.0, 0)
    p = hits / n
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    spread = Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return Bound(p, max(centre - spread, 0.0), min(centre + spread, 1.0), n)


def sign_test(gains: int, losses: int) -> float:
    """The chance of at least so many gains among these changes if a gain were as likely as a loss (the exact sign test)."""
    changes = gains + losses
    return float(sum(comb(changes, k) for k in range(gains, changes + 1)) / 2**changes)
