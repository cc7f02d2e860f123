"""Hand-written stand-ins, held to the same contract as the real thing by tests/settlement."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.domain import Domain
from shared.errors import Unavailable
from shared.event import PROTOBUF, Arrival, Headers, Key
from shared.settlement.settlement import Means
from shared.store.outcome import Again, Outcome, Settled
from shared.store.postgres import Unstorable
from tests.stack import request

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


class FakeStore:
    """The store's contract in memory. `broken` calls are answered with Unavailable first."""

    def __init__(self) -> None:
        self.rows: dict[Key, Outcome] = {}
        self.repeats: list[Again] = []
        self.incidents: list[Again] = []
        self.broken = 0
        self.writes = 0

    async def find(self, keys: Sequence[Key]) -> dict[Key, Outcome]:
        self._stumble()
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def write(
        self, fresh: Sequence[Outcome], again: Sequence[Again] = (), *, outbox: bool = False
    ) -> dict[str, Settled]:
        self._stumble()
        self.writes += 1
        bad = tuple(o.key for o in fresh if any("\0" in p.label for p in o.predictions))
        if bad:
            raise Unstorable(bad, "UntranslatableCharacterError (22P05)")
        settled, rest = {}, list(again)
        for outcome in fresh:
            if outcome.key in self.rows:
                rest.append(Again(outcome.key, outcome.digest, outcome.place, outcome.caller))
            else:
                self.rows[outcome.key] = outcome
                settled[outcome.place] = Settled(outcome)
        return settled | {arrival.place: self._again(arrival) for arrival in rest}

    def _again(self, arrival: Again) -> Settled:
        stored = self.rows[arrival.key]
        same = stored.digest == arrival.digest
        if not same:
            self.incidents.append(arrival)
        elif arrival.place != stored.place:
            self.repeats.append(arrival)
        return Settled(stored, known=same, reused=not same)

    def _stumble(self) -> None:
        if self.broken:
            self.broken -= 1
            raise Unavailable("postgres", "a test says so")


class FakeProjection:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.written: list[Settled] = []

    async def write(self, domain: Domain, settled: Sequence[Settled]) -> None:
        self.written += settled


async def no_infer(*_: Any, **__: Any) -> Any:
    raise AssertionError("this test has no model")


def means(store: Any, **options: Any) -> Means:
    return Means(store=store, infer=no_infer, projection=FakeProjection(), **options)


def arrival(
    text: str | bytes,
    id: str = "1",  # noqa: A002 - CloudEvents' own name
    place: str = "",
    domain: str = "intent",
    content_type: str = PROTOBUF,
    deadline: float | None = None,
    headers: Headers = (),
) -> Arrival:
    """A Kafka record (without a deadline) or a gRPC call (with one)."""
    return Arrival(
        key=Key(domain, "shop", id),
        payload=request(text) if isinstance(text, str) else text,
        content_type=content_type,
        door="kafka" if deadline is None else "grpc",
        place=place or f"{domain}.requests.v1:0:{id}",
        arrived_at=NOW,
        deadline=deadline,
        headers=headers,
    )


def handling(domain: Domain, handle: Callable[..., Any]) -> Domain:
    return replace(domain, handle=handle)
