"""Several right labels as rows of 0 and 1, and how near an answer comes to them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.several import parse

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def mark(texts: Iterable[str], labels: Sequence[str]) -> Bools:
    """[n, labels]: which of `labels` each text, as `shared.several` joins them, holds. Others that it holds are left out."""
    where = {label: at for at, label in enumerate(labels)}
    rows = [[where[label] for label in parse(text) if label in where] for text in texts]
    found = np.zeros((len(rows), len(labels)), np.bool_)
    for row, ats in enumerate(rows):
        found[row, ats] = True
    return found


def names(texts: Iterable[str]) -> set[str]:
    """Every label that occurs."""
    return {label for text in texts for label in parse(text)}


def overlap(truth: Bools, said: Bools) -> Floats:
    """Of each row, how many labels are both right and said, as a share of those that are either; 1 where none is.

    The accuracy of Godbole and Sarawagi 2004, "Discriminative methods for multi-labeled classification", section 4: the Jaccard index.
    """
    both, either = (truth & said).sum(axis=1), (truth | said).sum(axis=1)
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))
