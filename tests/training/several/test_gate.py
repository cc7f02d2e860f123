"""The gate on heads with several right labels: better passes, worse in one label fails, and a label that is lost is seen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.training import gate
from services.training.candidate import Answers, Item
from services.training.case import Case
from shared.several import join
from tests.training.several.corpus import DOMAIN, HEAD, declare
from tests.training.test_gate import verdicts

LABELS = ("a", "b", "c")
SHARES = (0.5, 0.3, 0.2)
ROWS = 600


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch)


def truths() -> Any:
    return np.random.default_rng(0).random((ROWS, len(LABELS))) < SHARES


def answers(right: float | Sequence[float], seed: int, sure: float = 0.0) -> Answers:
    """A model that decides each label rightly so often (one share, or one a label), and is as sure as it may be, or `sure`."""
    often, base = np.broadcast_to(right, len(LABELS)), np.array(SHARES)
    said = truths() == (np.random.default_rng(seed).random((ROWS, len(LABELS))) < often)
    yes, no = (
        often * base,
        (1 - often) * base,
    )  # Bayes: of rows that have the label, those of which it is said and not said
    high = np.full(len(LABELS), sure) if sure else yes / (yes + (1 - often) * (1 - base))
    low = np.full(len(LABELS), 1 - sure) if sure else no / (no + often * (1 - base))
    limits = {f"{HEAD}.{label}": float(limit) for label, limit in zip(LABELS, (high + low) / 2, strict=True)}
    return Answers({HEAD: LABELS}, {HEAD: np.where(said, high, low)}, limits, frozenset({HEAD}))


def case(candidate: Answers, live: Answers | None = None, base: float = 0.75, **given: Any) -> Case:
    labels = [join(label for label, right in zip(LABELS, row, strict=True) if right) for row in truths()]
    items = [Item(str(at), str(at), ("en", "zh")[at % 2], {HEAD: label}) for at, label in enumerate(labels)]
    whole = Case(items, (HEAD,), candidate, answers(base, 9), live=live, changed=0.1, domain=DOMAIN)
    return replace(whole, **given)


def test_a_better_model_passes() -> None:
    """Better than the live model and the baseline, each label by itself, and calibrated."""
    report = gate.examine(case(answers(0.95, 1), answers(0.9, 2)))
    assert report.verdict == "pass", report
    assert {f"no worse: {HEAD} {label}" for label in LABELS} <= verdicts(report).keys()


def test_a_label_that_got_worse_is_not_outweighed() -> None:
    """The mean over labels gains; one label falls by 25 points, and that is refused."""
    found = verdicts(gate.examine(case(answers((0.99, 0.99, 0.7), 1), answers((0.85, 0.85, 0.95), 2))))
    assert found["no worse: overall"] == "pass"
    assert found[f"no worse: {HEAD} c"] == "fail"
    assert found[f"no worse: {HEAD} a"] == "pass"


def test_rare_labels_are_judged_together() -> None:
    """None is left out for having few items."""
    whole = case(answers(0.95, 1), answers(0.95, 2))
    report = gate.examine(whole, replace(gate.Policy(), class_items=10_000))
    assert f"no worse: 3 labels of {HEAD} with fewer than 10000 items, pooled" in verdicts(report)


def test_a_lost_label_needs_an_approver() -> None:
    """As a class of an ordinary head."""
    fewer = answers(0.95, 1)
    fewer = Answers({HEAD: LABELS[:2]}, {HEAD: fewer.probabilities[HEAD][:, :2]}, fewer.thresholds, fewer.several)
    assert verdicts(gate.examine(case(fewer, answers(0.9, 2))))["no class is lost"] == "insufficient evidence"
    assert verdicts(gate.examine(case(fewer, answers(0.9, 2), approver="ada")))["no class is lost"] == "pass"


def test_overconfidence_fails() -> None:
    """Right nine times in ten and sure of .999 is not calibrated."""
    assert verdicts(gate.examine(case(answers(0.9, 1, sure=0.999))))["calibrated"] == "fail"


def test_a_head_of_the_other_kind_is_lost() -> None:
    """The domain's handler reads several right labels, and would misread a distribution over them."""
    plain = answers(0.95, 1)
    softened = Answers(
        plain.labels, {HEAD: plain.probabilities[HEAD] / plain.probabilities[HEAD].sum(1, keepdims=True)}
    )
    (lost,) = [c for c in gate.examine(case(softened)).criteria if c.name == "no head is lost"]
    assert (lost.verdict, "of which topics reads several right labels" in lost.detail) == ("fail", True)


def test_a_live_model_of_the_other_kind_can_be_compared_with() -> None:
    """It told one label a text: on the day that a domain's head becomes one of several labels, it is the reference."""
    plain = answers(0.95, 2)
    live = Answers(plain.labels, {HEAD: plain.probabilities[HEAD] / plain.probabilities[HEAD].sum(1, keepdims=True)})
    found = verdicts(gate.examine(case(answers(0.95, 1), live)))
    assert found["no worse: overall"] == "pass"


def test_corrections_are_followed_by_overlap() -> None:
    """A judged row whose labels the candidate comes nearer to is a gain."""
    whole = case(answers(0.97, 1), answers(0.8, 2), with_feedback=True)
    judged = [replace(item, judged=at < 60) for at, item in enumerate(whole.items)]
    assert verdicts(gate.examine(replace(whole, items=judged)))["follows the corrections"] == "pass"
