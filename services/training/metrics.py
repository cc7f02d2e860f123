"""What a model's answers are worth, on items whose labels are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.training.candidate import Answers, Floats, Item
from services.training.curves import auroc
from services.training.several import metrics as several
from services.training.several import truth as marks
from shared.calibration import binned_error, brier, noise

OUT_OF_SCOPE = "out_of_scope"
ALL = "all"
HEADS = "heads"


def measure(items: Sequence[Item], answers: Answers, heads: Sequence[str]) -> dict[str, dict[str, float]]:
    """ "<slice>.<head>" -> figures: n, accuracy, macro_f1, ece (and below what it lies in 95 % of samples of a
    perfectly calibrated model that is as sure), brier; of out-of-scope detection also recall, retention and auroc; of heads with several
    right labels what `services.training.several.metrics` says.

    Slice "all" pools the slices and head "heads" the answers of all heads with one right label (macro_f1: the mean of the heads'), where
    there are several.
    """
    slices = sorted({item.slice for item in items})
    found: dict[str, dict[str, float]] = {}
    for name in slices if len(slices) == 1 else [*slices, ALL]:
        rows = [row for row, item in enumerate(items) if name in (item.slice, ALL)]
        of_heads: dict[str, dict[str, float]] = {}
        certain: dict[str, _Certainty] = {}
        for head in heads:
            known = [row for row in rows if head in items[row].labels and head in answers.labels]
            if known and head in answers.several:
                of_heads[head] = several.measure(tell(items, answers, head, known))
            elif known:
                of_heads[head], certain[head] = _of_head(items, answers, head, known)
        if len(certain) > 1:
            found[f"{name}.{HEADS}"] = _pooled([of_heads[head] for head in certain], list(certain.values()))
        found |= {f"{name}.{head}": figures for head, figures in of_heads.items()}
    return found


def by_label(items: Sequence[Item], answers: Answers, heads: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Head -> label -> figures, of heads with several right labels, over the items of all slices."""
    found = {}
    for head in heads:
        known = [row for row, item in enumerate(items) if head in item.labels]
        if known and head in answers.several:
            found[head] = several.by_label(tell(items, answers, head, known))
    return found


def labels_of(items: Sequence[Item], models: Sequence[Answers], head: str, rows: Sequence[int]) -> list[str]:
    """Every label, of a head with several right ones, that a model knows or an item has."""
    known = dict.fromkeys(label for answers in models for label in answers.labels.get(head, ()))
    return [*known, *sorted(marks.names(items[row].labels[head] for row in rows) - known.keys())]


def tell(
    items: Sequence[Item], answers: Answers, head: str, rows: Sequence[int], labels: Sequence[str] = ()
) -> several.Told:
    """What is right of these items and what the model says, of a head with several right labels.

    Args:
        labels: empty: `labels_of`. One that the model does not know is never said.
    """
    labels = labels or labels_of(items, (answers,), head, rows)
    own = {label: at for at, label in enumerate(answers.labels[head])}
    chosen = answers.take(rows).chosen(head, [items[row].slice for row in rows])
    never = np.zeros(len(rows), np.bool_)
    return several.Told(
        labels,
        marks.mark([items[row].labels[head] for row in rows], labels),
        np.stack([answers.of(head, label)[list(rows)] for label in labels], axis=1),
        np.stack([chosen[:, own[label]] if label in own else never for label in labels], axis=1),
    )


def right(items: Sequence[Item], answers: Answers, head: str, rows: Sequence[int], *, of_several: bool) -> Floats:
    """How right the model's answer to each of these items is: 0 or 1; of several right labels their overlap with what it says."""
    if not rows or head not in answers.labels:
        return np.zeros(len(rows))
    if of_several:
        told = tell(items, answers, head, rows)
        return marks.overlap(told.truth, told.said)
    names, best = answers.labels[head], answers.probabilities[head].argmax(axis=1)
    return np.array([float(names[best[row]] == items[row].labels[head]) for row in rows])


@dataclass(frozen=True, slots=True)
class _Certainty:
    confidence: Floats  # [n], of the most probable label
    right: NDArray[np.bool_]  # [n], whether it is the truth


def _of_head(
    items: Sequence[Item], answers: Answers, head: str, rows: list[int]
) -> tuple[dict[str, float], _Certainty]:
    labels = answers.labels[head]
    truth_names = [items[row].labels[head] for row in rows]
    predicted_names = [answers.predicted(head)[row] for row in rows]
    probabilities = answers.probabilities[head][rows]
    # A label that the model does not know is a column of zeros: never right, and it costs in ECE and Brier.
    width = [*labels, *sorted(set(truth_names) - set(labels))]
    padded = np.pad(probabilities, ((0, 0), (0, len(width) - len(labels))))
    truth = np.array([width.index(name) for name in truth_names], np.int64)
    sure = _Certainty(padded.max(axis=1), padded.argmax(axis=1) == truth)
    found = _of_certainty(sure) | {"macro_f1": macro_f1(truth_names, predicted_names), "brier": brier(padded, truth)}
    if head == "scope" and OUT_OF_SCOPE in labels:
        scores = answers.of(head, OUT_OF_SCOPE)[rows]
        outside = np.array([name == OUT_OF_SCOPE for name in truth_names])
        flagged = refused(items, answers)[rows]
        found["out_of_scope_n"] = float(outside.sum())
        found["out_of_scope_recall"] = float(flagged[outside].mean()) if outside.any() else float("nan")
        found["in_scope_retention"] = float(1 - flagged[~outside].mean()) if (~outside).any() else float("nan")
        found["auroc"] = auroc(scores, outside)
    return found, sure


def _pooled(of_heads: Sequence[Mapping[str, float]], certain: Sequence[_Certainty]) -> dict[str, float]:
    """Every answer counts once, whichever head gave it."""
    together = _Certainty(
        np.concatenate([each.confidence for each in certain]), np.concatenate([each.right for each in certain])
    )
    counts = [each["n"] for each in of_heads]
    return _of_certainty(together) | {
        "macro_f1": float(np.mean([each["macro_f1"] for each in of_heads])),
        "brier": float(np.average([each["brier"] for each in of_heads], weights=counts)),
    }


def _of_certainty(sure: _Certainty) -> dict[str, float]:
    return {
        "n": float(len(sure.right)),
        "accuracy": float(sure.right.mean()),
        "ece": binned_error(sure.confidence, sure.right),
        "ece_chance": noise(sure.confidence),
    }


def refused(items: Sequence[Item], answers: Answers) -> NDArray[np.bool_]:
    """Which items the model says are out of scope, by its own thresholds, as the intent service decides it."""
    scores = answers.of("scope", OUT_OF_SCOPE)
    general = answers.thresholds.get("scope.out_of_scope", 1.01)
    limits = [answers.thresholds.get(f"scope.out_of_scope.{item.slice}", general) for item in items]
    return np.asarray(scores >= np.array(limits), np.bool_)


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """The unweighted mean of F1 over every label that occurs in either."""
    scores = []
    for label in sorted({*truth, *predicted}):
        hits = sum(a == b == label for a, b in zip(truth, predicted, strict=True))
        scores.append(2 * hits / (sum(a == label for a in truth) + sum(b == label for b in predicted)))
    return float(np.mean(scores))


def flat(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """ "<slice>.<head>.<figure>" -> value, without what could not be measured."""
    return {
        f"{where}.{name}": round(value, 4)
        for where, of_head in figures.items()
        for name, value in of_head.items()
        if not np.isnan(value)
    }
