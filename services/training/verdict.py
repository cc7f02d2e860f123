"""What a criterion ends in, and how a bound becomes it. Too little to tell is never a pass."""

from collections.abc import Sequence
from typing import Literal

from services.training.bounds import Bound

Verdict = Literal["pass", "fail", "insufficient evidence"]


def superior(bound: Bound) -> Verdict:
    return "pass" if bound.low > 0 else fail_if(bound.high < 0)


def non_inferior(bound: Bound, margin: float) -> Verdict:
    return "pass" if bound.low > -margin else fail_if(bound.high < -margin)


def fail_if(shown: bool) -> Verdict:
    return "fail" if shown else "insufficient evidence"


def worst(verdicts: Sequence[str]) -> Verdict:
    if not verdicts or "insufficient evidence" in verdicts:
        return "fail" if "fail" in verdicts else "insufficient evidence"
    return "fail" if "fail" in verdicts else "pass"


def points(bound: Bound) -> str:
    return f"{100 * bound.mean:+.1f} points (95 % sure of {100 * bound.low:+.1f}) better"


def missing(verdict: Verdict) -> str:
    return "; more held-out items are needed to tell" if verdict == "insufficient evidence" else ""
