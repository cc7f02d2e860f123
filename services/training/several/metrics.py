"""What answers with several right labels are worth.

Everywhere: `truth` and `said` are bool [n, labels], `probabilities` float64 [n, labels], n >= 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.training import curves
from services.training.several.truth import Bools, Floats, overlap
from shared.calibration import BINS, binned_error

DRAWS = 400
_AT_ONCE = 40_000_000  # numbers drawn in all, beyond which fewer samples are


@dataclass(frozen=True, slots=True)
class Told:
    """The answers of one head, and what is right."""

    labels: Sequence[str]
    truth: Bools
    probabilities: Floats
    said: Bools  # by the model's thresholds


def measure(told: Told) -> dict[str, float]:
    """n; accuracy: the share of rows whose labels are all right and all there; overlap; micro_f1, macro_f1, map (mean average
    precision), auroc: the last three means over the labels that can be measured; ece, ece_chance, brier (`scores`, halved)."""
    of_label = list(by_label(told).values())
    return {
        "n": float(len(told.truth)),
        "accuracy": float((told.truth == told.said).all(axis=1).mean()),
        "overlap": float(overlap(told.truth, told.said).mean()),
        "micro_f1": _f1(told.truth.ravel(), told.said.ravel()),
        "macro_f1": _mean([each["f1"] for each in of_label]),
        "map": _mean([each["ap"] for each in of_label]),
        "auroc": _mean([each["auroc"] for each in of_label]),
        "ece": ece(told.probabilities, told.truth),
        "ece_chance": noise(told.probabilities),
        "brier": float(scores(told.probabilities, told.truth).mean()),
    }


def by_label(told: Told) -> dict[str, dict[str, float]]:
    """Of each label: n (rows that have it), precision, recall, f1, ap, auroc, ece; NaN where it cannot be measured."""
    return {label: _of_label(told, at) for at, label in enumerate(told.labels)}


def _of_label(told: Told, at: int) -> dict[str, float]:
    truth, said, probabilities = told.truth[:, at], told.said[:, at], told.probabilities[:, at]
    hits = float((truth & said).sum())
    return {
        "n": float(truth.sum()),
        "precision": hits / said.sum() if said.any() else float("nan"),
        "recall": hits / truth.sum() if truth.any() else float("nan"),
        "f1": _f1(truth, said),
        "ap": curves.average_precision(probabilities, truth),
        "auroc": curves.auroc(probabilities, truth),
        "ece": binned_error(probabilities, truth),
    }


def _f1(truth: Bools, said: Bools) -> float:
    """NaN where the label neither is nor is said."""
    size = float(truth.sum() + said.sum())
    return 2 * float((truth & said).sum()) / size if size else float("nan")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def ece(probabilities: Floats, truth: Bools) -> float:
    """The mean over labels of |share of rows that have it - mean probability|, in bins of equal width: the classwise ECE of Kull et al.
    2019, "Beyond temperature scaling", eq. 4. One number over all labels together would let their errors cancel."""
    return _error(probabilities, truth, _bins(probabilities))


def _bins(probabilities: Floats) -> NDArray[np.int64]:
    """Of each number, those of one label apart from another's."""
    within = np.clip(np.ceil(probabilities * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return within + BINS * np.arange(probabilities.shape[1])


def _error(probabilities: Floats, truth: Bools, bins: NDArray[np.int64]) -> float:
    gaps = np.bincount(bins.ravel(), (truth - probabilities).ravel())
    return float(np.abs(gaps).sum() / probabilities.size)


def noise(probabilities: Floats, quantile: float = 0.95, seed: int = 0) -> float:
    """What `ece` of a perfectly calibrated model with these probabilities stays below, as `shared.calibration.noise`."""
    chance, bins = np.random.default_rng(seed), _bins(probabilities)
    draws = max(20, min(DRAWS, _AT_ONCE // probabilities.size))
    errors = [_error(probabilities, chance.random(probabilities.shape) < probabilities, bins) for _ in range(draws)]
    return float(np.quantile(errors, quantile))


def scores(probabilities: Floats, truth: Bools) -> Floats:
    """Of each row half the sum over labels of (probability - truth)^2: what the Brier score of a single right label is, halved."""
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1) / 2, np.float64)
