"""Whose fault it is that a pass failed: a row's, or the device's.

A caller takes a failure of the device for a passing one and asks again. A row on which a model fails each time would be asked for again
and again, and hold up whatever is behind it. So the rows of a pass that fails are tried again, each time among half as many
(`Scheduler.try_again`), until what fails is one row. Then the model is given a row that it is known to answer. Only if it does, and the
row then fails once more, is the row at fault: a device that is out of order, or out of memory, fails on both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.inference.units import Unit

REASON = "MODEL_FAILED"  # stable: dead letters carry it
FAULT = f"{REASON}: the model fails on this row each time, also alone, and answers others"


@dataclass(slots=True)
class Verdict:
    """What became of a pass that failed. None of the three: its one row was computed after all."""

    bad: list[Unit] = field(default_factory=list)
    broken: list[Unit] = field(default_factory=list)  # the device failed on them, and would on others
    untried: list[Unit] = field(default_factory=list)  # to be tried again among fewer


def judge(units: Sequence[Unit], compute: Callable[[Sequence[Unit]], bool], works: Callable[[Unit], bool]) -> Verdict:
    """
    Args:
        units: rows whose pass failed.
        compute: whether these rows could be computed.
        works: whether the model that this row is for answers a row that it is known to answer.
    """
    if len(units) > 1:
        return Verdict(untried=list(units))
    if not works(units[0]):
        return Verdict(broken=list(units))
    return Verdict() if compute(units) else Verdict(bad=list(units))
