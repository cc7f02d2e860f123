"""Runs the cases against a server, one at a time: each leaves the server as it was, or fails."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from services.cli.conformance import cases
from services.cli.conformance.case import CASES, Case, Failed, Inapplicable, Level, Outcome
from services.cli.conformance.model import Model
from services.cli.conformance.target import Target, describe, say

__all__ = ["Result", "cases", "choose", "run"]


@dataclass(frozen=True, slots=True)
class Result:
    """Of one case and one model; `model` is empty for what is about the server."""

    case: str
    level: Level
    model: str
    outcome: Outcome
    expected: str
    seen: str
    seconds: float

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


def choose(levels: Sequence[Level], wanted: Sequence[str], load: bool) -> list[Case]:
    """The cases of these levels whose names begin as one that is wanted, or all; those that need load only with it."""
    return [
        each
        for each in CASES
        if each.level in levels
        and (load or not each.under_load)
        and (not wanted or any(each.name.startswith(name) for name in wanted))
    ]


def run(
    target: Target, models: Sequence[Model], chosen: Sequence[Case], tell: Callable[[str], None] = lambda name: None
) -> Iterator[Result]:
    """`tell` hears the name of each case before it runs."""
    for each in chosen:
        tell(each.name)
        for model in models[:1] if each.about_server else models:
            yield _run_one(target, model, each)


def _run_one(target: Target, model: Model, each: Case) -> Result:
    began = time.monotonic()
    level = each.level
    try:
        outcome, seen = _check(target, model, each)
        target.check_unharmed(model)
    except Failed as error:
        outcome, seen = Outcome.FAIL, str(error)
        if error.level and level is Level.REQUIRED:
            level = error.level
    except grpc.RpcError as error:
        outcome, seen = Outcome.FAIL, describe(error)
    except Exception as error:  # a server may answer what no case thought of: that is its failure, not the suite's end
        outcome, seen = Outcome.FAIL, f"no sense can be made of it: {say(error)}"
    name = "" if each.about_server else model.name
    return Result(each.name, level, name, outcome, each.expected, seen, time.monotonic() - began)


def _check(target: Target, model: Model, each: Case) -> tuple[Outcome, str]:
    if each.asks and model.usual is None:
        return Outcome.INAPPLICABLE, "the well-formed request is refused"
    try:
        return Outcome.PASS, each.check(target, model)
    except Inapplicable as error:
        return Outcome.INAPPLICABLE, str(error)
