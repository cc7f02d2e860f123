"""The honest baseline: TF-IDF and logistic regression on the same rows (word 1-2-grams; character 1-4-grams for Chinese)."""

from collections.abc import Sequence

import numpy as np

from services.training.examples import Example
from services.training.heads import Floats, Ints
from shared.calibration import nll

NAME = "TF-IDF + logistic regression"
STRENGTHS = (1.0, 10.0)
_WORD = r"(?u)\b\w+\b"  # one letter is a word, too
_BY_CHARACTER = {"zh", "ja", "th"}  # written without spaces between words


def read(example: Example) -> str:
    """What the baseline reads: all that the model is given."""
    return f"{example.text} {example.text_pair}".strip()


def predict(
    learned: Sequence[Example], truth: Ints, folds: Ints, labels: int, asked: Sequence[Example], weights: Floats
) -> tuple[Floats, Floats]:
    """Probabilities [asked, labels], and out-of-fold ones [learned, labels], from which a threshold can be set.

    Its strength is chosen as the model's is: by out-of-fold NLL.
    """
    texts, language = [read(e) for e in learned], learned[0].language
    best: tuple[float, float, Floats] | None = None
    for strength in STRENGTHS:
        inner = np.zeros((len(texts), labels))
        for fold in np.unique(folds):
            rows = folds == fold
            kept = [text for text, out in zip(texts, rows, strict=True) if not out]
            held = [text for text, out in zip(texts, rows, strict=True) if out]
            inner[rows] = _fit_predict(kept, truth[~rows], weights[~rows], held, labels, language, strength)
        loss = nll(inner, truth, weights)
        if best is None or loss < best[0]:
            best = (loss, strength, inner)
    assert best is not None
    asked_texts = [read(e) for e in asked]
    return _fit_predict(texts, truth, weights, asked_texts, labels, language, best[1]), best[2]


def _fit_predict(
    texts: Sequence[str],
    truth: Ints,
    weights: Floats,
    asked: Sequence[str],
    labels: int,
    language: str,
    strength: float,
) -> Floats:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    result = np.zeros((len(asked), labels))
    known = np.unique(truth)
    if len(known) == 1 or not asked:
        result[:, known[:1]] = 1
        return result
    if language in _BY_CHARACTER:
        vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True)
    else:
        vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
    model = LogisticRegression(C=strength, max_iter=1000, tol=1e-3)
    model.fit(vectors.fit_transform(texts), truth, sample_weight=weights)
    result[:, model.classes_] = model.predict_proba(vectors.transform(asked))
    return result
