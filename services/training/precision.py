"""What answering in fewer bits costs: the accuracy of the very bytes that will be served, in each precision, against fp32."""

from collections.abc import Sequence
from dataclasses import replace

from services.training import metrics
from services.training.candidate import Answers, Candidate
from services.training.encoders import Made
from shared.bundle import Precision, PrecisionName

BUDGET = 0.5  # points of accuracy that serving may lose for speed, unless a run is asked for another


def list_lowered(encoders: Sequence[Made]) -> list[PrecisionName]:
    """What can be measured here and makes a difference to any of `encoders`."""
    if all(encoder.spec.architecture != "transformer" for encoder in encoders):
        return []
    import torch

    from shared.nn.precision import list_precisions

    return [name for name in list_precisions(torch.device("cpu")) if name != "fp32"]


def record(candidate: Candidate, exact: Answers, budget: float = BUDGET) -> Candidate:
    """The candidate with the record that lets it be served in other precisions; without one where nothing but fp32 is to be had."""
    if not candidate.lowered:
        return candidate
    losses = {
        name: round(lose(candidate, exact, measure(candidate.folder, candidate.spec)), 3)
        for name, measure in candidate.lowered.items()
    }
    precision = Precision(budget=budget, loss=losses)
    return replace(candidate, spec=candidate.spec.model_copy(update={"precision": precision}))


def lose(candidate: Candidate, exact: Answers, lowered: Answers) -> float:
    """Points of accuracy lost by that head which loses most, over the items of all slices; below 0: each has gained.

    Of several right labels the accuracy is their overlap with what is said.
    """
    return max(_accuracy(candidate, exact, head) - _accuracy(candidate, lowered, head) for head in candidate.heads)


def _accuracy(candidate: Candidate, answers: Answers, head: str) -> float:
    """In points: 0 to 100."""
    right = metrics.right(
        candidate.items,
        answers,
        head,
        [row for row, item in enumerate(candidate.items) if head in item.labels],
        of_several=head in answers.several,
    )
    return 100 * float(right.sum()) / max(len(right), 1)
