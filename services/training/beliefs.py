"""How far the probabilities of two models can be believed, on the same items."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.training import metrics
from services.training.candidate import Answers, Floats, Item
from services.training.several import metrics as several
from shared.calibration import binned_error, brier_scores, ece, noise


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Of one head of a model, beside those of a reference."""

    gain: Floats  # [rows], by how much its Brier score, halved, is less than the reference's
    error: float  # its ECE
    chance: float  # below what that lies by chance alone
    more: Callable[[Any], float]  # by how much its ECE is above the reference's, of any of the rows


def compare(items: Sequence[Item], model: Answers, reference: Answers, head: str, rows: Sequence[int]) -> Beliefs:
    """Over the union of both models' labels, and those of the items."""
    if head in model.several:
        return _of_several(items, model, reference, head, rows)
    ours, theirs, truth = _align(items, model, reference, head, rows)
    return Beliefs(
        gain=(brier_scores(theirs, truth) - brier_scores(ours, truth)) / 2,
        error=ece(ours, truth),
        chance=noise(ours.max(axis=1)),
        more=_more_error(ours, theirs, truth),
    )


def _of_several(items: Sequence[Item], model: Answers, reference: Answers, head: str, rows: Sequence[int]) -> Beliefs:
    labels = metrics.labels_of(items, (model, reference), head, rows)
    ours, theirs = (metrics.tell(items, answers, head, rows, labels) for answers in (model, reference))
    truth, mine, others = ours.truth, ours.probabilities, theirs.probabilities
    return Beliefs(
        gain=several.scores(others, truth) - several.scores(mine, truth),
        error=several.ece(mine, truth),
        chance=several.noise(mine),
        more=lambda drawn: several.ece(mine[drawn], truth[drawn]) - several.ece(others[drawn], truth[drawn]),
    )


def _more_error(ours: Floats, theirs: Floats, truth: Any) -> Callable[[Any], float]:
    """ECE above the other's, of any rows."""
    sure, others = ours.max(axis=1), theirs.max(axis=1)
    right, other_right = ours.argmax(axis=1) == truth, theirs.argmax(axis=1) == truth
    return lambda rows: binned_error(sure[rows], right[rows]) - binned_error(others[rows], other_right[rows])


def _align(
    items: Sequence[Item], model: Answers, reference: Answers, head: str, rows: Sequence[int]
) -> tuple[Floats, Floats, Any]:
    """Both models' probabilities over the union of all labels, and the truth as an index of it."""
    truth = [items[row].labels[head] for row in rows]
    union = list(dict.fromkeys([*model.labels[head], *reference.labels[head], *sorted(set(truth))]))

    def columns(answers: Answers) -> Floats:
        return np.stack([answers.of(head, label)[list(rows)] for label in union], axis=1)

    return columns(model), columns(reference), np.array([union.index(label) for label in truth], np.int64)
