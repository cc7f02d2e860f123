"""What a model is worth on held-out pictures."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from services.training.candidate import Floats
from services.training.imaging.samples import Samples
from shared.calibration import ece

DRAWS = 300  # of the bootstrap
_PIXELS = 28  # a side, of the linear baseline


def measure(probabilities: Floats, truth: NDArray[np.int64], normal: int) -> dict[str, float]:
    """Figures of one head. Rank figures are of abnormal against normal, whose index is `normal`.

    Sensitivity is at the stated specificity; `error_at_80` is the error on the 80 % of items that the model is most confident of.
    """
    right = probabilities.argmax(1) == truth
    abnormal, score = truth != normal, 1 - probabilities[:, normal]
    surest = np.argsort(-probabilities.max(1), kind="stable")[: max(1, round(0.8 * len(right)))]
    return {
        "n": len(truth),
        "accuracy": float(right.mean()),
        "auc": float(roc_auc_score(abnormal, score)),
        "auprc": float(average_precision_score(abnormal, score)),
        "sensitivity_at_90": sensitivity(abnormal, score, 0.90),
        "sensitivity_at_95": sensitivity(abnormal, score, 0.95),
        "ece": ece(probabilities, truth),
        "error_at_80": float(1 - right[surest].mean()),
    }


def sensitivity(positive: NDArray[np.bool_], score: Floats, specificity: float) -> float:
    """The best sensitivity among the thresholds that keep the specificity."""
    false, true, _ = roc_curve(positive, score)
    return float(true[false <= 1 - specificity].max())


def auc_interval(probabilities: Floats, truth: NDArray[np.int64], normal: int, seed: int) -> tuple[float, float]:
    """A 95 % bootstrap interval of the AUC over resampled rows; samples with one class only are drawn again."""
    abnormal, score = truth != normal, 1 - probabilities[:, normal]
    if abnormal.all() or not abnormal.any():
        return float("nan"), float("nan")
    chance = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < DRAWS:
        rows = chance.integers(len(abnormal), size=len(abnormal))
        if 0 < abnormal[rows].sum() < len(rows):
            values.append(roc_auc_score(abnormal[rows], score[rows]))
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def linear_baseline(train: Samples, test: Samples, seed: int) -> dict[str, Floats]:
    """Pixels and logistic regression, for each head: what a model must clearly beat."""
    return {head: _linear(train.known(head), test, head, seed) for head in train.labels}


def _linear(train: Samples, test: Samples, head: str, seed: int) -> Floats:
    model = LogisticRegression(C=0.01, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a baseline
        model.fit(_pixels(train), train.truth[head])
    shares = np.zeros((len(test), len(test.labels[head])))
    shares[:, model.classes_] = model.predict_proba(_pixels(test))
    return shares


def _pixels(samples: Samples) -> NDArray[np.float32]:
    """Means over blocks of each picture, [n, about 28 x 28], standardised by the range of 8 bits."""
    by = max(1, samples.pixels.shape[1] // _PIXELS)
    side = samples.pixels.shape[1] // by
    blocks = samples.pixels[:, : side * by, : side * by].reshape(len(samples), side, by, side, by)
    means: NDArray[np.float32] = blocks.mean((2, 4), dtype=np.float32).reshape(len(samples), -1)
    return (means - np.float32(128)) / np.float32(64)
