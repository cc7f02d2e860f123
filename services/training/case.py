"""What the gate looks at, by what policy, and what it reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from services.training.candidate import Answers, Item
from services.training.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Policy:
    """How much worse than the live model a candidate may be, as far as the items can tell."""

    margin: float = 0.03  # of the mean over all heads, on all items
    slice_margin: float = 0.06  # on each language, each kind of image
    class_margin: float = 0.05  # on each class with enough items; the others are pooled
    class_items: int = 99  # from how many items on a class is judged alone
    scope_margin: float = 0.10  # of out-of-scope recall
    retention: float = 0.90  # share of in-scope items that must stay in scope, as a lower bound
    calibration_margin: float = 0.01  # of ECE above the reference's, by its bound
    brier_margin: float = 0.02  # of the mean Brier score (halved: 0 to 1), by its bound: what some 250 items can tell
    significance: float = 0.05  # of the sign test on corrections


@dataclass(frozen=True, slots=True)
class Criterion:
    name: str
    verdict: Verdict
    detail: str  # one sentence for a person: what was found, and if it is no pass, what is missing
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """All that the gate looks at.

    live: None: nothing is live, or it has other heads altogether.
    changed: the largest difference between a weight of the candidate and of the live model; inf where their shapes differ.
    domain: whose handler will read the candidate's heads; empty: nobody's.
    with_feedback: the promotion is asked for because of people's corrections, so it must be shown to follow them.
    approver: who answers for classes that are new and heads that are given up; empty: nobody does.
    """

    items: Sequence[Item]
    heads: Sequence[str]
    candidate: Answers
    baseline: Answers
    baseline_name: str = "the baseline"
    live: Answers | None = None
    changed: float = float("inf")
    domain: str = ""
    with_feedback: bool = False
    approver: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    criteria: tuple[Criterion, ...]
    provisional: tuple[str, ...]  # classes that are live on the approver's word, until they have evidence of their own
    policy: Policy

    @property
    def verdict(self) -> Verdict:
        """A failure outweighs missing evidence, which outweighs any number of passes."""
        found = {criterion.verdict for criterion in self.criteria}
        return "fail" if "fail" in found else "insufficient evidence" if found != {"pass"} else "pass"

    def as_json(self) -> dict[str, Any]:
        criteria = [asdict(criterion) for criterion in self.criteria]
        provisional = list(self.provisional)
        return {
            "verdict": self.verdict,
            "criteria": criteria,
            "provisional": provisional,
            "policy": asdict(self.policy),
        }
