"""A line for each label, for people: what it was learned from, where its threshold lies, and what its answers are worth."""

from collections.abc import Mapping

import numpy as np

from services.training import metrics
from services.training.candidate import Answers, Candidate
from services.training.thresholds import NEVER

COLUMNS = (
    "label",
    "learned",
    "held out",
    "threshold",
    "precision",
    "recall",
    "F1",
    "AP",
    "AUROC",
    "ECE",
    "baseline F1",
    "AP",
)
_FIGURES = ("precision", "recall", "f1", "ap", "auroc", "ece")


def list_labels(candidate: Candidate, answers: Answers) -> dict[str, list[list[str]]]:
    """Head -> rows of `COLUMNS`, of heads with several right labels, on the held-out items that nobody chose."""
    rows = candidate.typical
    items = [candidate.items[row] for row in rows]
    ours = metrics.by_label(items, answers.take(rows), candidate.heads)
    theirs = metrics.by_label(items, candidate.baseline.take(rows), candidate.heads)
    return {
        head: [
            _row(label, candidate.learned[head][label], _limits(candidate, head, label), figures, theirs[head][label])
            for label, figures in of_head.items()
        ]
        for head, of_head in ours.items()
    }


def _row(label: str, learned: int, limit: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> list[str]:
    figures = [*(ours[name] for name in _FIGURES), theirs["f1"], theirs["ap"]]
    return [
        label,
        str(learned),
        f"{ours['n']:.0f}",
        limit,
        *("" if np.isnan(each) else f"{each:.3f}" for each in figures),
    ]


def _limits(candidate: Candidate, head: str, label: str) -> str:
    """By language, where they differ."""
    found = candidate.spec.thresholds
    languages = sorted({item.slice for item in candidate.items})
    limits = {language: found.get(f"{head}.{label}.{language}", found.get(f"{head}.{label}")) for language in languages}
    shown = {name: "never" if limit == NEVER else f"{limit:.2f}" for name, limit in limits.items() if limit is not None}
    if len(set(shown.values())) == 1:
        return next(iter(shown.values()))
    return ", ".join(f"{name} {limit}" for name, limit in shown.items())
