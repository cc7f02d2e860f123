"""What shows only when the server is busy. These cases keep it so for a second or more."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import grpc

from services.cli.conformance.case import Failed, Inapplicable, Level, model_case
from services.cli.conformance.cases.calls import list_extensions
from services.cli.conformance.cases.statistics import count
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target

_PROBE = 32  # rows of a call, whose time says how many keep a server busy
_BUSY = 1.5  # seconds
_MOST_CALLS = 60
_LATE = 20  # calls that cannot make their deadline
_REST = 0.3  # seconds
_PATIENCE = 6  # deadlines that a queue may take to drain
_OK, _EXPIRED = grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED
_FULL = {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}  # Triton says the second


@model_case("load.expired", Level.EXTENSION, "what expires in the queue is not computed", under_load=True)
def check_expired(target: Target, model: Model) -> str:
    rows, calls = _plan(target, model)
    before = count(target, model)
    busy = _send(target, model, rows, calls)
    late = [target.stub.ModelInfer.future(model.new(), timeout=0.05) for _ in range(_LATE)]
    ended = [call.code() for call in late]
    expired = ended.count(_EXPIRED)
    for call in busy:
        call.code()
    if expired < _LATE / 2:
        raise Inapplicable(
            f"only {expired} of {_LATE} calls expired: the server is too fast, or takes the nearest deadline first"
        )
    answered = sum(call.code() == _OK for call in busy)
    after = _count_at_rest(target, model)
    if not after["passed"]:
        raise Inapplicable("the server has no batch statistics")
    wasted = after["passed"] - before["passed"] - rows * answered - (_LATE - expired)
    if wasted > expired / 2:
        raise Failed(f"{wasted} rows more were computed than answered; {expired} had expired")
    return f"{expired} expired, {max(wasted, 0)} of them computed"


@model_case(
    "load.priority",
    Level.EXTENSION,
    "priority 1 overtakes at least half of what waits with priority 9",
    under_load=True,
)
def check_overtaking(target: Target, model: Model) -> str:
    if "priority" not in list_extensions(target):
        raise Inapplicable("the server does not name the extension priority")
    rows, calls = _plan(target, model)
    busy = _send(target, model, rows, calls, priority=9)
    waiting = [call for call in busy if not call.done()]
    urgent = model.new()
    urgent.parameters["priority"].uint64_param = 1
    target.infer(urgent, timeout=_PATIENCE * target.deadline)
    left = sum(not call.done() for call in waiting)
    for call in busy:
        call.code()
    if len(waiting) < 4:
        raise Inapplicable("the server is too fast to be kept busy")
    if left < len(waiting) / 2:
        raise Failed(f"{len(waiting) - left} of {len(waiting)} calls were answered first")
    return f"{left} of {len(waiting)} calls overtaken"


@model_case(
    "load.full",
    Level.COMMON,
    "calls beyond the queue are refused with RESOURCE_EXHAUSTED, the others answered",
    under_load=True,
)
def check_full(target: Target, model: Model) -> str:
    rows = model.rows_within(512)
    calls = _send(target, model, rows, _MOST_CALLS)
    codes = [call.code() for call in calls]
    if strange := set(codes) - {_OK, _EXPIRED} - _FULL:
        raise Failed(", ".join(sorted(code.name for code in strange)))
    refused = sum(code in _FULL for code in codes)
    if not refused:
        raise Inapplicable(f"{_MOST_CALLS} calls of {rows} rows were let in")
    if _OK not in codes:
        raise Failed("none was answered")
    return f"{refused} of {_MOST_CALLS} calls of {rows} rows refused"


def _count_at_rest(target: Target, model: Model) -> "Counter[str]":
    """The counters, once they no longer move.

    Raises:
        Inapplicable: they move on.
    """
    now, until = count(target, model), time.monotonic() + _PATIENCE * target.deadline
    while time.monotonic() < until:
        time.sleep(_REST)
        before, now = now, count(target, model)
        if now == before:
            return now
    raise Inapplicable("the statistics move on: somebody else uses the server")


def _plan(target: Target, model: Model) -> tuple[int, int]:
    """(rows a call, calls): what keeps the server busy for `_BUSY` seconds, in so few rows that no quota stands in the way."""
    rows = model.rows_within(_PROBE)
    target.infer(model.new(rows))
    request, began = model.new(rows), time.monotonic()
    target.infer(request)
    each = time.monotonic() - began
    return rows, max(8, min(_MOST_CALLS, math.ceil(_BUSY / each)))


def _send(target: Target, model: Model, rows: int, calls: int, priority: int = 0) -> Sequence[Any]:
    requests = [model.new(rows) for _ in range(calls)]
    for request in requests if priority else ():
        request.parameters["priority"].uint64_param = priority
    return [target.stub.ModelInfer.future(request, timeout=_PATIENCE * target.deadline) for request in requests]
