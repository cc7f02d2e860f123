"""One pass through a device: rows in; results out, or whose fault it is that there are none."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.inference.blame import Verdict, judge
from services.inference.units import Batch, Lane, Unit

log = logging.getLogger(__name__)


class Device(Lane, Protocol):
    """A lane that computes."""

    @property
    def precision(self) -> str:
        """Of its arithmetic: fp32, bf16 or int8."""
        ...

    def run(self, units: Sequence[Unit]) -> Sequence[Any]:
        """One result for each unit, in order. Called from device threads, from two at once where passes share the cores."""
        ...

    def padding(self, units: Sequence[Unit]) -> int:
        """Cost that a pass computes besides that of its units, to give them one shape."""
        ...

    def proven(self, payload: Any) -> Any:
        """The payload of a row that the model of this one has answered, when it was warmed up."""
        ...


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's rows. Device threads fill `results`, and `bad` with those at fault; the event loop wakes who waits for `done`."""

    done: "asyncio.Future[None]"
    results: list[Any]
    left: int  # rows that are neither answered nor known to be bad, counted on the event loop
    model: Any
    queued: float
    started: float = 0.0  # when the first of its batches did; 0: none has
    computing: float = 0.0  # seconds, of all batches that it had rows in
    bad: set[int] = field(default_factory=set)  # rows that the model fails on; they have no result

    @property
    def waited(self) -> float:
        """Seconds before its first batch."""
        return max(self.started - self.queued, 0.0) if self.started else 0.0


def run(batch: Batch, now: float) -> Verdict | None:
    """Computes a batch; None: all of it. Rows that are at fault are settled."""
    again = any(unit.company for unit in batch.units)
    if not batch.units or _compute(batch, batch.units, now, logging.DEBUG if again else logging.ERROR):
        return None
    verdict = judge(batch.units, lambda units: _compute(batch, units, now), lambda unit: _works(batch, unit))
    for unit in verdict.bad:
        log.error("%s fails on one row each time, also alone, and answers others", _name(unit))
        unit.owner.bad.add(unit.index)
        _settle(unit, now)
    if verdict.broken:
        log.error("the device fails on %s's own sample too", _name(verdict.broken[0]))
    return verdict


def _compute(batch: Batch, units: Sequence[Unit], now: float, level: int = logging.DEBUG) -> bool:
    """Whether the rows could be computed, but for those whose caller has left meanwhile."""
    wanted = [unit for unit in units if not unit.owner.done.done()]
    try:
        results = _forward(batch, wanted) if wanted else []
    except Exception:  # whatever a device raises - out of memory, a bug - must end neither this thread nor the server
        log.log(level, "a pass of %d rows failed; finding out which of them are at fault", len(wanted), exc_info=True)
        return False
    for unit, result in zip(wanted, results, strict=True):
        unit.owner.results[unit.index] = result
        _settle(unit, now)
    return True


def _works(batch: Batch, unit: Unit) -> bool:
    device: Device = batch.lane  # type: ignore[assignment] # every lane of an engine computes
    try:
        _forward(batch, [Unit(device, unit.cost, unit.deadline, payload=device.proven(unit.payload))])
    except Exception:  # as above
        log.exception("a row that was answered before fails too")
        return False
    return True


def _forward(batch: Batch, units: Sequence[Unit]) -> Sequence[Any]:
    device: Device = batch.lane  # type: ignore[assignment] # as above
    results = device.run(units)
    if len(results) != len(units):
        raise ValueError(f"a device gave {len(results)} results for {len(units)} rows")
    return results


def _settle(unit: Unit, now: float) -> None:
    ticket: Ticket = unit.owner
    ticket.started = ticket.started or now


def _name(unit: Unit) -> str:
    model = unit.owner.model
    return f"{model.name} {model.version}" if model is not None else "a model"
