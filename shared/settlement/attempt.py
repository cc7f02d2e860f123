"""Trying a domain's handler on one event until it has an outcome."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message

from shared.domain import Domain, Tools
from shared.errors import Expired, Failure, Reject, Unavailable
from shared.event import Arrival
from shared.inference.contract import deadline
from shared.patience import pause, pauses
from shared.settlement.conclusion import conclude, refuse
from shared.store.outcome import Outcome

log = logging.getLogger(__name__)

ATTEMPTS = 3  # of a handler that fails on one event, before that event alone is dead-lettered


@dataclass(slots=True)
class Piece:
    """One arrival on its way through settlement."""

    arrival: Arrival
    message: Message | None
    digest: bytes
    trace_id: str
    reject: Reject | None = None
    attempts: int = 0  # that failed by the handler's own fault


async def attempt(domain: Domain, piece: Piece, tools: Tools, beat: Callable[[], None]) -> Outcome | Failure:
    """What the event comes to; a failure (Unavailable, Expired) only where the arrival has a deadline, and then nothing is stored."""
    arrival = piece.arrival
    if piece.reject is not None:
        return _refuse(domain, piece, piece.reject)
    if arrival.deadline is None:
        return await _insist(domain, piece, tools, beat)
    deadline.set(arrival.deadline)
    try:
        async with asyncio.timeout_at(arrival.deadline):
            return await _insist(domain, piece, tools, beat)
    except TimeoutError:
        return Expired("the call's deadline passed before there was an answer")
    except (Unavailable, Expired) as error:
        return error


async def _insist(domain: Domain, piece: Piece, tools: Tools, beat: Callable[[], None]) -> Outcome:
    arrival, request = piece.arrival, piece.message
    assert request is not None
    for seconds in pauses():
        beat()
        try:
            result = await domain.handle(request, tools)
            return conclude(domain, arrival, piece.digest, request, result, piece.trace_id)
        except Reject as why:
            return _refuse(domain, piece, why)
        except Unavailable as error:
            await pause(error, seconds, arrival.deadline)
        except Expired as error:
            if arrival.deadline is not None:
                raise
            await pause(Unavailable("inference", str(error)), seconds, None)
        except (Exception, asyncio.CancelledError) as bug:
            # A bug in the handler, which must cost this event alone, never the batch: also a cancellation that is not ours.
            if isinstance(bug, asyncio.CancelledError) and _told_to_stop():
                raise
            failed = fail(domain, piece, bug)
            if failed is not None:
                return failed
            await asyncio.sleep(seconds)
    raise AssertionError("pauses never ends")


def _told_to_stop() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def fail(domain: Domain, piece: Piece, bug: BaseException) -> Outcome | None:
    """Count a failure that is the handler's own fault; the event's dead letter once there are too many.

    Neither the log nor the dead letter repeats the exception's text, which may hold the payload.
    """
    piece.attempts += 1
    where = _where(bug)
    log.error(
        "%s: the handler failed on event %r of %r (attempt %d of %d): %s%s",
        domain.name, piece.arrival.key.id, piece.arrival.key.source, piece.attempts, ATTEMPTS, type(bug).__name__, where,
    )  # fmt: skip
    if piece.attempts < ATTEMPTS:
        return None
    return _refuse(
        domain, piece, Reject("HANDLER_FAILED", f"the handler failed {ATTEMPTS} times: {type(bug).__name__}{where}")
    )


def _where(bug: BaseException) -> str:
    traceback = bug.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return ""
    code = traceback.tb_frame.f_code
    return f" in {code.co_name}, line {traceback.tb_lineno}"


def _refuse(domain: Domain, piece: Piece, why: Reject) -> Outcome:
    return refuse(domain, piece.arrival, piece.digest, piece.message, why, max(1, piece.attempts), piece.trace_id)
