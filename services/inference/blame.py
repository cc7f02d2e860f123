"""Whose fault it is that a pass failed: a row's, or the device's.

A caller takes a failure of the device for a passing one and asks again. A row on which a model fails each time would be asked for again
and again, and hold up whatever is behind it. So a pass that fails is split in halves until what fails is one row, and then the model is
given a row that it is known to answer. Only if it does, and the row then fails once more, is the row at fault: a device that is out of
order, or out of memory, fails on both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.inference.units import Unit

MOST = 64  # passes that one failed pass may cost before whatever else waits has its turn

REASON = "MODEL_FAILED"  # stable: dead letters carry it
FAULT = f"{REASON}: the model fails on this row each time, also alone, and answers others"


@dataclass(slots=True)
class Verdict:
    """What became of a pass that failed, apart from the rows that were computed after all."""

    bad: list[Unit] = field(default_factory=list)
    broken: list[Unit] = field(default_factory=list)  # the device failed on them, and would on others
    untried: list[Unit] = field(default_factory=list)  # no pass was left to find out


def judge(
    units: Sequence[Unit], compute: Callable[[Sequence[Unit]], bool], works: Callable[[Unit], bool], most: int = MOST
) -> Verdict:
    """At most about `most` passes; at least one row more is decided by each call, so that whoever tries the rest again gets on.

    Args:
        units: rows whose pass failed.
        compute: whether these rows could be computed.
        works: whether the model that this row is for answers a row that it is known to answer.
    """
    verdict, parts, passes = Verdict(), [list(units)], 0
    while parts:
        part = parts.pop()
        if passes >= most:
            verdict.untried += part
            continue
        if len(part) > 1:  # it has failed
            halves = part[: len(part) // 2], part[len(part) // 2 :]
            passes += 2
            parts += [half for half in reversed(halves) if not compute(half)]
            continue
        passes += 2
        if not works(part[0]):
            verdict.broken += part
            verdict.broken += [unit for rest in parts for unit in rest]
            return verdict
        if not compute(part):
            verdict.bad += part
    return verdict
