"""What training hands to the gate: the same for texts and images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.bundle import Bundle, PrecisionName
from shared.several import threshold

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Item:
    """One held-out thing with known answers. No candidate may ever have been trained on it."""

    id: str
    entity: str  # items of one entity are not independent of one another
    slice: str  # what results are reported by: the language, the kind of image
    labels: Mapping[
        str, str
    ]  # head -> truth, of several right labels all, joined; heads without a known answer are missing
    judged: bool = False  # known from a person's judgement of a live answer, not from the data set


@dataclass(frozen=True, slots=True)
class Answers:
    """What one model says of every item, in the items' order. Probabilities are calibrated, float64 [items, labels]."""

    labels: Mapping[str, tuple[str, ...]]  # head -> labels
    probabilities: Mapping[str, Floats]
    thresholds: Mapping[str, float] = field(default_factory=dict)  # "<head>.out_of_scope.<slice>" etc.
    several: frozenset[str] = frozenset()  # heads whose labels may each be right or not

    def of(self, head: str, label: str) -> Floats:
        """The probability of one label, 0 where this model does not know it."""
        if label not in self.labels.get(head, ()):
            return np.zeros(len(next(iter(self.probabilities.values()))))
        return self.probabilities[head][:, self.labels[head].index(label)]

    def take(self, rows: Sequence[int]) -> "Answers":
        """Of these items alone."""
        taken = {head: each[list(rows)] for head, each in self.probabilities.items()}
        return Answers(self.labels, taken, self.thresholds, self.several)

    def predicted(self, head: str) -> list[str]:
        names = self.labels[head]
        return [names[index] for index in self.probabilities[head].argmax(axis=1)]

    def chosen(self, head: str, slices: Sequence[str]) -> NDArray[np.bool_]:
        """[items, labels]: which labels count as right, by the thresholds of each item's slice; of a head with one right label the best."""
        probabilities, labels = self.probabilities[head], self.labels[head]
        if head not in self.several:
            return np.asarray(np.eye(len(labels))[probabilities.argmax(axis=1)] > 0, np.bool_)
        of = {name: [threshold(self.thresholds, head, label, name) for label in labels] for name in set(slices)}
        return np.asarray(
            probabilities >= np.array([of[name] for name in slices]).reshape(probabilities.shape), np.bool_
        )


@dataclass(frozen=True, slots=True)
class Tuning:
    items: Sequence[Item]
    model: Answers
    baseline: Answers


Measure = Callable[[Path, Bundle], Answers]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model, not yet sealed, with all that it takes to judge it.

    folder: everything of the bundle but `bundle.json`, `card.md` and the manifest.
    items, baseline: the held-out items and what the honest baseline says of them.
    tuning: items of the training and validation parts (of an encoder that was itself fitted on the training part, of validation alone)
        and what model and baseline say of them when each row is judged by a fit that saw none of its entity. Reported, never gated on.
    learned: head -> label -> rows that the head was fitted on and that have the label; of heads with several right labels.
    measure: what any bundle of this domain says of the items; it runs the candidate's bytes and the live model's alike.
    lowered: the same in other precisions than fp32, by name, as far as this machine has them.
    data: digests of the files, judgement ids, split rule and counts, as JSON.
    run: method, seed, command, encoder, base revision, as JSON.
    notes: lines for the model card: what it was trained on, limits.
    """

    folder: Path
    spec: Bundle
    items: Sequence[Item]
    baseline: Answers
    baseline_name: str
    measure: Measure
    data: Mapping[str, Any]
    run: Mapping[str, Any]
    heads: Sequence[str]  # that the gate judges, the most important first
    tuning: Tuning | None = None
    learned: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    lowered: Mapping[PrecisionName, Measure] = field(default_factory=dict)

    @property
    def typical(self) -> list[int]:
        """Rows of the items that figures are of: people judge what the model got wrong, which is no sample of what comes in."""
        return [row for row, item in enumerate(self.items) if not item.judged]
