"""What feeds the device threads: rows in from the event loop, through the scheduler, results back on the event loop."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from services.inference import refusal
from services.inference.admission import Admission
from services.inference.blame import Verdict
from services.inference.crew import Crew
from services.inference.habits import Habits
from services.inference.passes import Device, Ticket, run
from services.inference.scheduler import Scheduler
from services.inference.threads import use_cores
from services.inference.timeline import Timeline
from services.inference.units import DEFAULT_PRIORITY, Batch, Lane, Unit


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
        self._crew = Crew(
            self._take, lambda: self._scheduler.waiting > 0, self._serve, self._die, self._scheduler.is_ample
        )
        self._habits = Habits()
        self._timeline: Timeline | None = None  # of a device that makes one pass after another
        self._lock = self._crew.lock  # guards the scheduler
        self._loop: asyncio.AbstractEventLoop
        self.fault: asyncio.Future[None]  # ends, with what ended it, should a device thread die
        self.on_batch: Callable[[Batch, float], None] = _ignore  # told, on the event loop, what was computed

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.fault = self._loop.create_future()
        self._crew.start()

    def share(self, cores: int) -> None:
        """Passes are to be made side by side on so many cores, where there are as many as that takes."""
        self._crew.share(cores)
        with self._lock:
            self._scheduler.sides = self._crew.size

    def overlap(self) -> None:
        """Passes are made one after another, and each is prepared while the one before is computed."""
        with self._lock:
            self._timeline = self._timeline or Timeline()
        self._crew.overlap()

    async def stop(self) -> None:
        """Whoever listened is let go of: the thread that waited here may hold the engine for longer, and with it would hold every model."""
        await asyncio.to_thread(self._crew.stop)
        self.on_batch = _ignore

    @property
    def waiting(self) -> int:
        """Rows that no batch has taken yet."""
        return self._scheduler.waiting

    def drain_time(self) -> float:
        """Seconds until what waits now is computed, at the pace of late; between 0.05 and 30."""
        with self._lock:
            return _bounded(self._scheduler.backlog())

    def turn_away(self, rows: int, call: Call) -> None:
        """For who has work to do before it can ask for `compute`, which would be in vain.

        Raises:
            Refusal: RESOURCE_EXHAUSTED: what waits before them leaves less time than so many rows usually take; DEADLINE_EXCEEDED.
        """
        seconds = call.deadline - time.monotonic()
        if seconds <= 0:
            raise refusal.expired()
        with self._lock:
            before = self._scheduler.ahead(call.priority, call.caller, call.deadline)
            usual = self._habits.guess(call.model, rows, more=bool(call.asked)) / min(self._scheduler.sides, rows)
        # Only a queue corrects what is usual, by those of it who are let in: so the less waits, the less it counts.
        late = before + min(usual, before) - seconds
        if before > 0 and late > 0:
            raise refusal.overloaded(_bounded(late))

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
        with self._lock:
            self._admit(units, call, call.deadline - ticket.queued)
            self._crew.wake()
        try:
            async with asyncio.timeout(max(call.deadline - time.monotonic(), 0)):
                await ticket.done
        except TimeoutError:
            raise refusal.expired() from None
        finally:
            if ticket.left:  # the caller left, or is told so now: what still waits must not be computed
                with self._lock:
                    self._scheduler.drop(units)
        return ticket

    def _admit(self, units: Sequence[Unit], call: Call, seconds: float) -> None:
        if seconds <= 0:  # which says nothing of how long they would take
            raise refusal.expired()
        before, own = self._scheduler.foresee(units)
        whole = own * min(self._scheduler.sides, len(units))
        self._habits.learn(call.model, len(units), whole, more=bool(call.asked))
        if own > seconds:
            self._scheduler.doubt(units)
            raise refusal.hopeless(len(units), own)
        if before + own > seconds:
            raise refusal.overloaded(_bounded(before + own - seconds))
        self._scheduler.add(units)

    def _take(self, free: int) -> Batch | None:
        """What to compute next; under the lock.

        Callers leave on the event loop, which drops their rows a turn later: what was taken meanwhile would be learned from as if it had
        been computed, in no time at all.
        """
        now = time.monotonic()
        batch = self._scheduler.take(self._timeline.free(now) if self._timeline else now, free)
        if batch is None:
            return None
        if self._timeline:
            self._timeline.begin(now, self._scheduler.expect(batch))
        return replace(batch, units=[unit for unit in batch.units if not unit.owner.done.done()], taken=now)

    def _serve(self, batch: Batch, cores: int) -> Callable[[], object]:
        """One pass, on a device thread; what is returned tells the event loop."""
        if cores:
            use_cores(cores)
            batch = replace(batch, share=1.0 if cores > self._crew.half else cores / self._crew.cores)
        whole = not any(unit.owner.done.done() for unit in batch.units)  # else less is computed than it would teach
        started = time.monotonic()
        verdict = run(batch, started)
        ended = time.monotonic()
        with self._lock:
            seconds = self._measure(batch, started, ended)
            if verdict is not None:
                self._hear(verdict, batch.lane, seconds)
            elif batch.units and whole:  # one that failed tells nothing of how long a pass takes
                self._scheduler.learn(batch.lane, batch.cost, seconds)
        return partial(self._loop.call_soon_threadsafe, self._deliver, batch, verdict or Verdict(), seconds)

    def _measure(self, batch: Batch, started: float, ended: float) -> float:
        """Seconds for which it had the device; under the lock."""
        if self._timeline is None:
            return ended - started
        if not batch.units:
            self._timeline.drop(batch.taken)
            return 0.0
        return self._timeline.end(batch.taken, ended)

    def _hear(self, verdict: Verdict, lane: Lane, seconds: float) -> None:
        """Of a pass that failed; under the lock."""
        if untried := [unit for unit in verdict.untried if not unit.owner.done.done()]:
            self._scheduler.try_again(untried, seconds)
            self._crew.wake()
        for unit in verdict.bad:
            self._scheduler.distrust(unit, seconds, time.monotonic())
        if verdict.broken:
            verdict.broken += self._scheduler.give_up(lane)

    def _die(self, error: BaseException) -> None:
        """Without its threads nothing is ever answered: the process must know, and end."""
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: BaseException) -> None:
        if not self.fault.done():
            self.fault.set_exception(error)

    def _deliver(self, batch: Batch, verdict: Verdict, seconds: float) -> None:
        """On the event loop. Rows are counted down here: a request must not end before it knows of all its passes."""
        still_open = {id(unit) for unit in (*verdict.broken, *verdict.untried)}
        ended = [unit for unit in batch.units if id(unit) not in still_open]
        bad = {id(unit) for unit in verdict.bad}
        self.on_batch(replace(batch, units=[unit for unit in ended if id(unit) not in bad]), seconds)
        for ticket in {unit.owner for unit in batch.shed}:
            _end(ticket, refusal.expired())
        for ticket in {unit.owner for unit in verdict.broken}:
            _end(ticket, refusal.broken())
        for ticket in {unit.owner for unit in batch.units}:
            ticket.computing += seconds
        for ticket, rows in Counter(unit.owner for unit in ended).items():
            ticket.left -= rows
            if not ticket.left:
                _end(ticket)


def _end(ticket: Ticket, error: refusal.Refusal | None = None) -> None:
    if ticket.done.done():
        return
    if error is None:
        ticket.done.set_result(None)
    else:
        ticket.done.set_exception(error)


def _ignore(batch: Batch, seconds: float) -> None:
    """Nobody listens."""


def _bounded(seconds: float) -> float:
    """When to come back: neither at once nor never."""
    return min(max(seconds, 0.05), 30.0)
