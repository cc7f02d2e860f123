"""What a domain may ask of the shared inference service."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.errors import Unavailable
from shared.several import threshold
from shared.words import Scored

Value = str | bytes | NDArray[Any]

# Until when the answer matters (the event loop's clock): set where an event is handled, passed on to the service. None: no such time.
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@dataclass(frozen=True, slots=True)
class Card:
    """What the answering version says of itself: sent along with its answers, so labels and thresholds can never be another version's."""

    model: str
    version: str
    labels: Mapping[str, tuple[str, ...]]  # head -> labels, in the order of its probabilities
    thresholds: Mapping[str, float] = field(default_factory=dict)  # e.g. "intent.out_of_scope", "finding.report"
    several: frozenset[str] = frozenset()  # heads whose labels may each be right or not


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which pieces of a row's texts spoke for the most probable label of `head`, and which against.

    `lead` is how far the label's calibrated logit lies above its rivals': the sum of all scores and of `rest`, which no piece bears.
    """

    head: str
    label: str
    lead: float
    rest: float
    text: tuple[Scored, ...] = ()
    text_pair: tuple[Scored, ...] | None = None  # where the row has one


@dataclass(frozen=True, slots=True)
class Inference:
    """One row's answer: calibrated probabilities [labels] of float32 for each head."""

    card: Card
    probabilities: Mapping[str, NDArray[np.float32]]
    truncated: bool = False
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # other outputs of the model, this row's slice
    attribution: Attribution | None = None  # where it was asked for, and the model has it

    def ranking(self, head: str) -> list[tuple[str, float]]:
        """(label, probability), most probable first.

        Raises:
            Unavailable: the answering version has no such head. Another version may, so that no event is lost to this one.
        """
        if head not in self.card.labels:
            raise Unavailable("inference", f"{self.card.model} {self.card.version} has no head {head!r}; roll it back")
        pairs = zip(self.card.labels[head], self.probabilities[head].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def chosen(self, head: str, language: str = "") -> list[tuple[str, float]]:
        """(label, probability) of the labels that count as right by the version's thresholds, most probable first; there may be none.

        For heads with several right labels. `shared.several.join` makes of them what a `Prediction` holds and people judge.

        Raises:
            Unavailable: as `ranking`.
        """
        limits = self.card.thresholds
        return [pair for pair in self.ranking(head) if pair[1] >= threshold(limits, head, pair[0], language)]


class Infer(Protocol):
    """`await infer("intent", {"text": "where is my parcel?", "language": "en"})`.

    Concurrent calls are coalesced into few multi-row requests. A row holds one value for each model input: text, bytes or one
    array without a batch dimension. `priority` is 1 (most urgent) to 9; 0 stands for the usual 5. `explain` names a head: the answer then
    has an `attribution` of it, if the answering version can give one. Such rows cost more, and travel apart.

    Raises:
        Reject: the server refused this row; the other rows of the request are unharmed.
        Unavailable: the inference service is down or full, or has no such model yet.
        Expired: the deadline passed.
    """

    async def __call__(
        self, model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = ""
    ) -> Inference: ...
