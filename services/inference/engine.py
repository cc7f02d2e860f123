"""The device thread and what feeds it: rows in from the event loop, through the scheduler, results back on the event loop."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.inference import refusal
from services.inference.admission import Admission
from services.inference.blame import Verdict
from services.inference.passes import Device, Ticket, run
from services.inference.scheduler import Scheduler
from services.inference.units import DEFAULT_PRIORITY, Batch, Unit


@dataclass(frozen=True, slots=True)
class Call:
    """On whose behalf rows are computed, and until when it matters (clock: time.monotonic)."""

    deadline: float
    caller: str = ""
    priority: int = DEFAULT_PRIORITY
    model: Any = None  # that they are computed for: in whose statistics the passes count
    asked: frozenset[str] = frozenset()  # optional outputs to be computed besides the usual ones
    head: str = ""  # whose answer is to be explained; empty: the first one's


@dataclass(frozen=True, slots=True)
class Work:
    """One row for a device."""

    device: Device
    cost: int
    payload: Any


class Engine:
    """`start` it on the event loop, `compute` there what `admission` let in, `stop` it when no call is left."""

    def __init__(self, admission: Admission | None = None) -> None:
        self.admission = admission or Admission()
        self._scheduler = Scheduler(self.admission.weights)
        self._work = threading.Condition()  # guards the scheduler
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="device", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self.fault: asyncio.Future[None]  # ends, with what ended it, should the device thread die
        self.on_batch: Callable[[Batch, float], None] = lambda batch, seconds: (
            None
        )  # told, on the event loop, what was computed

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.fault = self._loop.create_future()
        self._thread.start()

    async def stop(self) -> None:
        with self._work:
            self._stopping = True
            self._work.notify()
        await asyncio.to_thread(self._thread.join)

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._scheduler.waiting

    def drain_time(self) -> float:
        """Seconds until what waits now is computed, at the pace of late; between 0.05 and 30."""
        with self._work:
            return _bounded(self._scheduler.backlog())

    async def compute(self, rows: Sequence[Work], call: Call) -> Ticket:
        """Returns when every row has its result, or is known to be one that the model fails on.

        Raises:
            Refusal: RESOURCE_EXHAUSTED, at once: too much waits before them to make the deadline; DEADLINE_EXCEEDED, at once where it has
                passed or they could not make it alone, when a row's turn comes too late, or at the deadline; INTERNAL: a device failed.
        """
        ticket = Ticket(self._loop.create_future(), [None] * len(rows), len(rows), call.model, time.monotonic())
        units = [
            Unit(row.device, row.cost, call.deadline, call.priority, call.caller, row.payload, ticket, index)
            for index, row in enumerate(rows)
        ]
        with self._work:
            self._admit(units, call.deadline - ticket.queued)
            self._work.notify()
        try:
            async with asyncio.timeout(max(call.deadline - time.monotonic(), 0)):
                await ticket.done
        except TimeoutError:
            raise refusal.expired() from None
        finally:
            if ticket.left:  # the caller left, or is told so now: what still waits must not be computed
                with self._work:
                    self._scheduler.drop(units)
        return ticket

    def _admit(self, units: Sequence[Unit], seconds: float) -> None:
        if seconds <= 0:  # which says nothing of how long they would take
            raise refusal.expired()
        before, own = self._scheduler.foresee(units)
        if own > seconds:
            self._scheduler.doubt(units)
            raise refusal.hopeless(len(units), own)
        if before + own > seconds:
            raise refusal.overloaded(_bounded(before + own - seconds))
        self._scheduler.add(units)

    def _serve(self) -> None:
        """The device thread."""
        try:
            while self._step():
                pass
        except BaseException as error:  # without this thread nothing is ever answered: the process must know, and end
            self._loop.call_soon_threadsafe(self.fault.set_exception, error)
            raise

    def _step(self) -> bool:
        """One batch. Nothing of it is held when this returns: a model that is unloaded meanwhile must not stay in memory until the next."""
        batch = self._next()
        if batch is None:
            return False
        started = time.monotonic()
        verdict = run(batch, started)
        seconds = time.monotonic() - started
        with self._work:
            if batch.units and verdict is None:  # a search for what is at fault tells nothing of how long a pass takes
                self._scheduler.learn(batch.lane, batch.cost, seconds)
            if verdict is not None:
                self._scheduler.add([unit for unit in verdict.untried if not unit.owner.done.done()])
        self._loop.call_soon_threadsafe(self._deliver, batch, verdict or Verdict(), seconds)
        return True

    def _next(self) -> Batch | None:
        """Waits for rows; None: the engine stops and nothing is left to do.

        Callers leave on the event loop, which drops their rows a turn later: what was taken meanwhile would be learned from as if it had
        been computed, in no time at all.
        """
        with self._work:
            while True:
                batch = self._scheduler.take(time.monotonic())
                if batch is not None:
                    wanted = [unit for unit in batch.units if not unit.owner.done.done()]
                    return Batch(batch.lane, wanted, batch.shed)
                if self._stopping:
                    return None
                self._work.wait()

    def _deliver(self, batch: Batch, verdict: Verdict, seconds: float) -> None:
        """On the event loop. Rows are counted down here: a request must not end before it knows of all its passes."""
        still_open = {id(unit) for unit in (*verdict.broken, *verdict.untried)}
        ended = [unit for unit in batch.units if id(unit) not in still_open]
        bad = {id(unit) for unit in verdict.bad}
        self.on_batch(Batch(batch.lane, [unit for unit in ended if id(unit) not in bad], batch.shed), seconds)
        for ticket in {unit.owner for unit in batch.shed}:
            _end(ticket, refusal.expired())
        for ticket in {unit.owner for unit in verdict.broken}:
            _end(ticket, refusal.broken())
        for ticket, rows in Counter(unit.owner for unit in ended).items():
            ticket.left -= rows
            ticket.computing += seconds
            if not ticket.left:
                _end(ticket)


def _end(ticket: Ticket, error: refusal.Refusal | None = None) -> None:
    if ticket.done.done():
        return
    if error is None:
        ticket.done.set_result(None)
    else:
        ticket.done.set_exception(error)


def _bounded(seconds: float) -> float:
    """When to come back: neither at once nor never."""
    return min(max(seconds, 0.05), 30.0)
