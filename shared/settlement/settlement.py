"""What events come to, whichever door they came through: the one code path of the streamed and the synchronous side."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.domain import Domain, Tools
from shared.errors import Failure, Reject, Unavailable
from shared.event import Arrival, Key, decode, digest
from shared.inference.contract import Infer
from shared.patience import persist
from shared.settlement.attempt import Piece, attempt, fail
from shared.settlement.conclusion import unstorable
from shared.store.outcome import Again, Outcome, Settled
from shared.store.postgres import Unstorable

log = logging.getLogger(__name__)

HANG = 60.0  # seconds without any handler of a batch moving, after which those still running are taken for hung


class Sink(Protocol):
    """What settlement asks of the store.

    Raises:
        Unavailable: the store cannot be reached.
        Unstorable: it refuses some rows for good, and names them.
    """

    async def find(self, keys: Sequence[Key]) -> dict[Key, Outcome]: ...

    async def write(
        self, fresh: Sequence[Outcome], again: Sequence[Again], *, outbox: bool = False
    ) -> dict[str, Settled]: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a domain's process works with."""

    store: Sink
    infer: Infer
    lookups: Any = None  # made by `Domain.open`
    projection: Any = None  # Redis
    outbox: bool = False  # leave a note to project each new outcome: for doors that answer before they project
    beat: Callable[[], None] = lambda: None  # called whenever work moves, or waits for something that is down


@dataclass(frozen=True, slots=True)
class WorkedOut:
    """A batch whose handlers have answered; nothing of it is stored yet."""

    pieces: list[Piece]
    made: dict[Key, Outcome | Failure]  # of the events that were not known
    failed: Unavailable | None = None  # there was no finding out which were known


async def settle(
    domain: Domain, arrivals: Sequence[Arrival], means: Means, hang: float = HANG
) -> list[Settled | Failure]:
    """One answer for each arrival, in order: decode, look up, handle what is new, store all in one transaction.

    A failure (Unavailable, Expired) is answered only to arrivals with a deadline, and means that nothing was stored for them.
    Without a deadline the call lasts as long as a dependency is down.
    """
    return await put_down(domain, await work_out(domain, arrivals, means, hang), means)


async def work_out(domain: Domain, arrivals: Sequence[Arrival], means: Means, hang: float = HANG) -> WorkedOut:
    """The first half of `settle`: all but the storing. Events that are known already cost nothing here."""
    pieces = [_read(domain, arrival) for arrival in arrivals]
    keys = list({piece.arrival.key for piece in pieces})
    try:
        known = await persist(lambda: means.store.find(keys), until=_latest(pieces), beat=means.beat)
    except Unavailable as error:
        return WorkedOut(pieces, {}, error)
    first: dict[Key, Piece] = {}
    for piece in pieces:
        if piece.arrival.key not in known:
            first.setdefault(piece.arrival.key, piece)
    answers = await _handle(domain, list(first.values()), means, hang)
    return WorkedOut(pieces, dict(zip(first, answers, strict=True)))


async def put_down(domain: Domain, worked: WorkedOut, means: Means) -> list[Settled | Failure]:
    """The second half of `settle`: one transaction, one answer for each arrival."""
    pieces, made = worked.pieces, worked.made
    if worked.failed is not None:
        return [worked.failed] * len(pieces)
    fresh = [each for each in made.values() if isinstance(each, Outcome)]
    places = {outcome.place for outcome in fresh}
    again = [
        _again(piece)
        for piece in pieces
        if piece.arrival.place not in places and not isinstance(made.get(piece.arrival.key), Failure)
    ]
    try:
        with _storing(pieces):
            stored = await persist(lambda: _write(domain, means, fresh, again), until=_latest(pieces), beat=means.beat)
    except Unavailable as error:
        return [error] * len(pieces)
    answers = [_answer(piece, made, stored) for piece in pieces]
    _count(domain, answers)
    return answers


def _count(domain: Domain, answers: Sequence[Settled | Failure]) -> None:
    telemetry.batch_size.record(len(answers), {"tidemill.domain": domain.name})
    if telemetry.enabled():
        kinds = Counter(_kind(answer) for answer in answers)
        for (kind, reason), number in kinds.items():
            attributes = {"tidemill.domain": domain.name, "tidemill.kind": kind, "tidemill.reason": reason}
            telemetry.outcomes.add(number, attributes)


def _kind(answer: Settled | Failure) -> tuple[str, str]:
    if isinstance(answer, Failure):
        return "returned", type(answer).__name__
    if answer.reused:
        return "refused", "ID_REUSED"
    return ("known" if answer.known else answer.outcome.kind), answer.outcome.reason or ""


def _read(domain: Domain, arrival: Arrival) -> Piece:
    trace_id = telemetry.trace_id(arrival.headers)
    try:
        message = decode(arrival, domain.request)
    except Reject as why:
        return Piece(arrival, None, digest(arrival, None), trace_id, why)
    return Piece(arrival, message, digest(arrival, message), trace_id)


def _latest(pieces: Iterable[Piece]) -> float | None:
    deadlines = [piece.arrival.deadline for piece in pieces]
    return None if None in deadlines else max((d for d in deadlines if d is not None), default=None)


async def _handle(domain: Domain, pieces: list[Piece], means: Means, hang: float) -> list[Outcome | Failure]:
    """The handlers of the batch, concurrently. One that hangs is stopped and counted as failed, once nothing else moves."""
    if not pieces:
        return []
    moved = 0

    def beat() -> None:
        nonlocal moved
        moved += 1
        means.beat()

    made: dict[int, Outcome | Failure] = {}
    tasks = {asyncio.ensure_future(_traced(domain, piece, means, beat)): i for i, piece in enumerate(pieces)}
    try:
        while tasks:
            before = moved
            done, pending = await asyncio.wait(tasks, timeout=hang)
            for task in done:
                made[tasks.pop(task)] = task.result()
            if done or moved != before:
                means.beat()
                continue
            for task in pending:
                i = tasks.pop(task)
                task.cancel()
                failed = fail(domain, pieces[i], TimeoutError())
                if failed is not None:
                    made[i] = failed
                else:
                    tasks[asyncio.ensure_future(_traced(domain, pieces[i], means, beat))] = i
    finally:
        for task in tasks:
            task.cancel()
    return [made[i] for i in range(len(pieces))]


async def _traced(domain: Domain, piece: Piece, means: Means, beat: Callable[[], None]) -> Outcome | Failure:
    arrival = piece.arrival
    tools = Tools(
        key=arrival.key,
        infer=means.infer,
        arrived_at=arrival.arrived_at,
        time=arrival.time,
        caller=arrival.caller,
        subject=arrival.subject,
        explain=arrival.explain if arrival.explain in domain.explains else "",  # what is optional costs no answer
        lookups=means.lookups,
    )
    if not telemetry.enabled():
        return await attempt(domain, piece, tools, beat)
    with telemetry.tracer.start_as_current_span(
        f"process {domain.requests}" if arrival.door == "kafka" else f"handle {domain.name}",
        telemetry.extract(arrival.headers),
        SpanKind.CONSUMER if arrival.door == "kafka" else SpanKind.INTERNAL,
        {"messaging.message.id": arrival.key.id, "tidemill.domain": domain.name, "tidemill.place": arrival.place},
    ):
        return await attempt(domain, piece, tools, beat)


async def _write(domain: Domain, means: Means, fresh: list[Outcome], again: list[Again]) -> dict[str, Settled]:
    """One transaction; an outcome that the store refuses for good becomes a dead letter and costs the others nothing."""
    try:
        return await means.store.write(fresh, again, outbox=means.outbox)
    except Unstorable as refused:
        log.error("%s: %s", domain.name, refused)
        kept = [unstorable(each, refused.detail) if each.key in refused.keys else each for each in fresh]
        return await means.store.write(kept, again, outbox=means.outbox)


def _storing(pieces: Sequence[Piece]) -> Any:
    """A span around the one transaction of the batch: child of the first event's trace, linked to the others'."""
    if not telemetry.enabled() or not pieces:
        return nullcontext()
    return telemetry.tracer.start_as_current_span(
        "write outcomes",
        telemetry.extract(pieces[0].arrival.headers),
        SpanKind.CLIENT,
        {"db.system.name": "postgresql", "db.operation.batch.size": len(pieces)},
        links=telemetry.links(piece.arrival.headers for piece in pieces[1:]),
    )


def _again(piece: Piece) -> Again:
    return Again(piece.arrival.key, piece.digest, piece.arrival.place, piece.arrival.caller)


def _answer(piece: Piece, made: dict[Key, Outcome | Failure], places: dict[str, Settled]) -> Settled | Failure:
    arrival = piece.arrival
    failure = made.get(arrival.key)
    if isinstance(failure, Failure):
        return failure
    return replace(
        places[arrival.place],
        headers=arrival.headers,
        record_key=arrival.record_key,
        payload=arrival.payload,
        place=arrival.place,
    )
