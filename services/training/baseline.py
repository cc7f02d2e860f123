"""The honest baseline: TF-IDF and logistic regression on the same rows (word 1-2-grams; character 1-4-grams for Chinese)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.training.examples import Example
from services.training.regression import Floats, Ints, Line, Vectors, cross_fit, fit, is_known, normalise
from shared.calibration import multi_label_nll, sigmoid

NAME = "TF-IDF + logistic regression"
STRENGTHS = (1.0, 10.0, 30.0)  # scikit-learn's C; the one that is best out of fold is taken
_BY_CHARACTER = {"zh", "ja", "th"}  # written without spaces between words
_WORD = r"(?u)\b\w+\b"  # one letter is a word, too


@dataclass(frozen=True, slots=True)
class Compared:
    """The baseline's probabilities: of the route's test rows, and out-of-fold of the rows its head was fitted on."""

    asked: Floats
    known: Floats


class Baseline:
    """TF-IDF of one route's rows, and as many logistic regressions on it as there are heads.

    The fits are those of scikit-learn's `LogisticRegression(C=...)`: the same objective, solved in the span of the rows.
    """

    def __init__(self, learned: Sequence[Example], asked: Sequence[Example], folds: Ints) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        if learned[0].language in _BY_CHARACTER:
            grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
        else:
            grams = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
        rows = grams.fit_transform([read(e) for e in learned])
        self._learned, to_span = _span(rows)
        self._asked = _dense(grams.transform([read(e) for e in asked]) @ to_span) if asked else self._learned[:0]
        self._folds = folds

    def predict(self, truth: Ints, labels: int, weights: Floats) -> Compared:
        """Of one head, by one regression; of several right labels by one for each. `truth` is as in `regression`."""
        known = np.flatnonzero(is_known(truth))
        x, y, w = self._learned[known], truth[known], weights[known]
        starts: dict[int, Line] = {}
        best, found = -np.inf, Compared(np.zeros((0, labels)), np.zeros((0, labels)))
        for strength in STRENGTHS:
            logits = cross_fit(x, y, labels, w, self._folds[known], strength, starts)
            good = _grade(logits, y)
            if good > best:
                line = fit(x, y, labels, w, strength)
                best, found = good, Compared(normalise(line.logits(self._asked), y), normalise(logits, y))
        return found


def _grade(logits: Floats, truth: Ints) -> float:
    """How often the most probable label is right; of several right labels the log likelihood, as most are wrong of any row."""
    if truth.ndim == 1:
        return float((logits.argmax(axis=1) == truth).mean())
    return -multi_label_nll(sigmoid(logits), truth)


def read(example: Example) -> str:
    """What the baseline reads: all that the model is given."""
    return f"{example.text} {example.text_pair}".strip()


def _span(rows: Any) -> tuple[Vectors, Any]:
    """(coordinates [n, components] of sparse rows in an orthonormal basis of their span, what takes other rows there)."""
    values, vectors = np.linalg.eigh(_dense(rows @ rows.T).astype(np.float64))
    kept = np.flatnonzero(values > 1e-9 * values.max())[::-1][:_COMPONENTS]
    axes = vectors[:, kept] / np.sqrt(values[kept])
    return (vectors[:, kept] * np.sqrt(values[kept])).astype(np.float32), rows.T @ axes


_COMPONENTS = 4000  # more rows than this are not needed to tell what a baseline can do


def _dense(matrix: Any) -> Vectors:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, np.float32)
