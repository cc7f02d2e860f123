"""What callers are told to do, and what they tell of it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Stream:
    """Calls of one kind, by one caller.

    Closed: `clients` at a time, each sending its next call when its last is answered. Open: `rate` calls a second at random moments
    (a Poisson process), whether or not the server keeps up; latency counts from the moment at which the call was due.

    Args:
        rows: of a call.
        calls: how many in all; 0: for as long as the job lasts.
        first: where in the job's texts it begins; it goes round.
        image: pixels a side, of images instead of texts.
        labels: whether the likeliest label of each row is wanted.
    """

    model: str
    rows: int = 1
    clients: int = 0
    rate: float = 0.0
    calls: int = 0
    first: int = 0
    caller: str = "bench"
    priority: int = 0
    deadline: float = 30.0
    image: int = 0
    labels: bool = False

    def share(self, number: int, of: int) -> "Stream":
        """What one of several processes does of it: its clients and their calls, or its part of the rate."""
        start, end = (self.clients * each // of for each in (number, number + 1))
        begin, stop = (self.calls * each // max(self.clients, 1) for each in (start, end))
        first = self.first + begin * self.rows
        return replace(self, clients=end - start, calls=stop - begin, rate=self.rate / of, first=first)


@dataclass(frozen=True, slots=True)
class Told:
    """Of one call: seconds since the epoch at which it was due, seconds it took, its status, and the version that answered."""

    due: float
    seconds: float
    code: str
    version: str = ""

    @property
    def answered(self) -> bool:
        return self.code == "OK"


@dataclass(slots=True)
class Heard:
    """Of one stream. labels: row of the job's texts -> index of the likeliest label."""

    stream: Stream
    calls: list[Told] = field(default_factory=list)
    labels: dict[int, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Rows."""
        return sum(call.answered for call in self.calls) * self.stream.rows

    @property
    def failed(self) -> list[str]:
        return [call.code for call in self.calls if not call.answered]

    def seconds(self) -> float:
        """From the first call to the last answer."""
        return max(call.due + call.seconds for call in self.calls) - min(call.due for call in self.calls)

    def rate(self) -> float:
        """Rows answered a second."""
        return self.answered / self.seconds()

    def latency(self, share: float = 0.5) -> float:
        """Seconds that this share of the answered calls stayed within."""
        return quantile((call.seconds for call in self.calls if call.answered), share)

    @classmethod
    def read(cls, stream: Stream, raw: dict[str, Any]) -> "Heard":
        return cls(stream, [Told(*call) for call in raw["calls"]], {int(row): i for row, i in raw["labels"].items()})


def merge(parts: Sequence[Heard], stream: Stream) -> Heard:
    """What several processes heard of their shares of one stream."""
    whole = Heard(stream)
    for part in parts:
        whole.calls += part.calls
        whole.labels |= part.labels
    return whole


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of `values` does not exceed; not a number where there are none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else math.nan
