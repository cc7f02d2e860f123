"""The thresholds that travel with a text model: of each route, from rows that the deciding fit has not seen."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.training import thresholds
from services.training.examples import OUT_OF_SCOPE, Corpus, DataError
from services.training.regression import Floats, Ints
from services.training.routes import Branch
from services.training.several import limits as several
from services.training.several.truth import Bools


def find_all(corpus: Corpus, branches: Sequence[Branch], recall: float | None) -> dict[str, float]:
    """Of every route, and in general: for languages that have none of their own.

    Raises:
        DataError: two labels would have thresholds of one name.
    """
    found: dict[str, float] = {}
    for branch in branches:
        found |= find(corpus, branch, recall)
    first = next(iter(corpus.labels))
    for name in ("scope.out_of_scope", f"{first}.confident"):
        if values := [value for key, value in found.items() if key.startswith(f"{name}.")]:
            found[name] = max(values)
    # The first route answers every language that has none of its own.
    general = {
        f"{head}.{label}": found[f"{head}.{label}.{branches[0].languages[0]}"]
        for head in corpus.several
        for label in corpus.labels[head]
    }
    if shared := sorted(general.keys() & found.keys()):
        raise DataError(f"the label {shared[0]!r} is also how the threshold of another label is named: rename one")
    return dict(sorted((found | general).items()))


def find(corpus: Corpus, branch: Branch, recall: float | None) -> dict[str, float]:
    """Of one route, for each of its languages."""
    found: dict[str, float] = {}
    first = next(iter(corpus.labels))
    if first not in corpus.several:
        sure = thresholds.confident(branch.fitted[first].probabilities, branch.fitted[first].truth)
        found |= dict.fromkeys((f"{first}.confident.{language}" for language in branch.languages), sure)
    if (scope := branch.fitted.get("scope")) is not None:
        scores = scope.probabilities[:, corpus.labels["scope"].index(OUT_OF_SCOPE)]
        found |= _scope(corpus, branch, scores, scope.rows)
    told = {
        head: (each.probabilities, each.truth > 0) for head, each in branch.fitted.items() if head in corpus.several
    }
    return found | _several(corpus, branch, told, recall)


def find_baseline(corpus: Corpus, branches: Sequence[Branch], recall: float | None) -> dict[str, float]:
    """The same for the baseline, as far as its answers need any."""
    found: dict[str, float] = {}
    for branch in branches:
        if (scope := branch.fitted.get("scope")) is not None:
            scores = branch.baseline["scope"].known[:, corpus.labels["scope"].index(OUT_OF_SCOPE)]
            found |= _scope(corpus, branch, scores, scope.known)
        told = {
            head: (branch.baseline[head].known, each.known_truth > 0)
            for head, each in branch.fitted.items()
            if head in corpus.several
        }
        found |= _several(corpus, branch, told, recall)
    return found


def _scope(corpus: Corpus, branch: Branch, scores: Floats, rows: Ints) -> dict[str, float]:
    inside = np.array([branch.learned[row].labels["scope"] != OUT_OF_SCOPE for row in rows])
    limit = thresholds.out_of_scope(scores, inside)
    return dict.fromkeys((f"scope.out_of_scope.{language}" for language in branch.languages), limit)


def _several(
    corpus: Corpus, branch: Branch, told: Mapping[str, tuple[Floats, Bools]], recall: float | None
) -> dict[str, float]:
    found: dict[str, float] = {}
    for head, (probabilities, truth) in told.items():
        limits = several.find_limits(probabilities, truth, recall)
        for label, limit in zip(corpus.labels[head], limits.tolist(), strict=True):
            found |= dict.fromkeys((f"{head}.{label}.{language}" for language in branch.languages), limit)
    return found
