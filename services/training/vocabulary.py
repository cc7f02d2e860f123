"""What a model can tell at all: the gate's criteria over heads and classes, which no comparison of answers sees."""

from collections.abc import Sequence

from services.training.case import Case, Criterion
from shared.heads import misfit


def keeps_heads(case: Case) -> Criterion:
    """What the live model tells, the candidate tells too; what the domain's handler reads, in any case, and nothing that it would misread.

    Every other criterion looks at the candidate's heads alone, and so cannot miss one.
    """
    name = "no head is lost"
    if wrong := misfit(case.domain, case.candidate.labels, case.candidate.several):
        return Criterion(name, "fail", f"it has {wrong}")
    lost = [head for head in case.live.labels if head not in case.candidate.labels] if case.live else []
    if not lost:
        return Criterion(name, "pass", f"it has {', '.join(case.candidate.labels)}")
    detail = f"the live model also has {', '.join(lost)}"
    if case.approver:
        return Criterion(name, "pass", f"{detail}: given up on the word of {case.approver}")
    return Criterion(
        name, "insufficient evidence", f"{detail}: add data with such labels, or name who answers for it (--approver)"
    )


def keeps_classes(case: Case) -> Criterion:
    """A class that the live model tells is missing from the items too where the candidate's data lack it, so nothing else sees it go."""
    name = "no class is lost"
    live = case.live.labels if case.live else {}
    lost = [
        f"{head} {label}"
        for head, labels in live.items()
        for label in labels
        if head in case.candidate.labels and label not in case.candidate.labels[head]
    ]
    if not lost:
        return Criterion(name, "pass", "it has every class that the live model tells")
    detail = f"the live model also tells {', '.join(lost)}"
    if case.approver:
        return Criterion(name, "pass", f"{detail}: given up on the word of {case.approver}")
    return Criterion(
        name, "insufficient evidence", f"{detail}: add data of them, or name who answers for it (--approver)"
    )


def new_classes(case: Case) -> list[str]:
    if case.live is None:
        return []
    return [
        f"{head} {label}"
        for head in case.heads
        for label in case.candidate.labels[head]
        if label not in case.live.labels.get(head, ())
    ]


def approved(case: Case, fresh: Sequence[str]) -> Criterion:
    named = ", ".join(fresh)
    if case.approver:
        return Criterion("new classes", "pass", f"{named}: provisional, on the word of {case.approver}")
    return Criterion(
        "new classes", "insufficient evidence", f"{named}: no live evidence yet; name who answers for them (--approver)"
    )
