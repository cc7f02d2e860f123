"""Each label by itself, of two models: what a mean over all labels would not show."""

from collections.abc import Sequence

import numpy as np

from services.training import bounds, metrics
from services.training.bounds import Bound
from services.training.candidate import Answers, Item
from services.training.several.truth import Bools, overlap


def compare(
    items: Sequence[Item], model: Answers, other: Answers, head: str, rows: Sequence[int], enough: int
) -> dict[str, Bound]:
    """By how much more rightly the model tells each label, on the items that have it or of which either model says it.

    Of one label an answer is right or wrong, whether the label was missed or said for nothing. Labels that fewer than `enough` of the
    items have are taken together, by the overlap of what is right and what is said of them.
    """
    labels = metrics.labels_of(items, (model, other), head, rows)
    ours, theirs = (metrics.tell(items, answers, head, rows, labels) for answers in (model, other))
    counts = ours.truth.sum(axis=0)
    alone, rare = np.flatnonzero(counts >= enough), np.flatnonzero((counts > 0) & (counts < enough))
    groups = {f"{head} {labels[at]}": np.array([at]) for at in alone}
    if len(rare):
        groups[f"{len(rare)} labels of {head} with fewer than {enough} items, pooled"] = rare
    return {
        name: _difference(items, rows, ours.truth[:, ats], ours.said[:, ats], theirs.said[:, ats])
        for name, ats in groups.items()
    }


def _difference(items: Sequence[Item], rows: Sequence[int], truth: Bools, ours: Bools, theirs: Bools) -> Bound:
    concerned = np.flatnonzero((truth | ours | theirs).any(axis=1)).tolist()
    gained = overlap(truth[concerned], ours[concerned]) - overlap(truth[concerned], theirs[concerned])
    return bounds.paired(gained, [items[rows[at]].entity for at in concerned])
