"""Everything that must be true of a stack after a run, asked of its database, its topics and its own books."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bench import evidence
from bench.check import Told, audit, repeats
from bench.doors import Doors
from bench.events import ROUTES
from bench.local import Local

_REST = 60.0  # s that the outbox and the commits may take to come to rest


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: list[str]
    outcomes: int
    repeats: int  # records on topics that say again what an earlier one said


async def verdict(stack: Local, source: str, doors: Doors) -> Verdict:
    """What became of every event that `doors` has sent under the name `source`."""
    values = stack.values()
    postgres, kafka = values["TIDEMILL_POSTGRES"], values["TIDEMILL_KAFKA"]
    found = await _settle(stack, postgres)
    accepted = {key: planned for key, planned in doors.planned.items() if key in doors.accepted}
    rows = await evidence.stored(postgres, source)
    records = await evidence.published(kafka, list(ROUTES), source)
    told = [Told(key, reply.result.SerializeToString()) for key, reply in doors.replies.items()]  # type: ignore[attr-defined]
    found += audit(accepted, rows, records, told)
    found += await _judgements(postgres, doors)
    found += await _clashes(postgres, source, doors)
    return Verdict(found, len(rows), repeats(records))


async def _settle(stack: Local, postgres: str) -> list[str]:
    """Waits until nothing moves any more; what the stack's own books then leave open is a violation."""
    deadline = time.monotonic() + _REST
    while True:
        books = await asyncio.to_thread(stack.status)
        open_ = [
            *_open(books),
            *([f"{n} outcomes not yet published"] if (n := await evidence.unpublished(postgres)) else []),
        ]
        if not open_ or time.monotonic() > deadline:
            return [f"at rest, after {_REST:.0f} s: {each}" for each in open_]
        await asyncio.sleep(1)


def _open(books: dict[str, Any]) -> list[str]:
    return [
        f"`tidemill status` says {column} {row[column]} of {name}"
        for name, row in books["domains"].items()
        for column in ("pending", "lag")
        if row[column] != 0
    ]


async def _judgements(postgres: str, doors: Doors) -> list[str]:
    """Feedback is applied once."""
    mine = [key for key, planned in doors.planned.items() if key.domain == "feedback" and not planned.reason]
    times = await evidence.judged(postgres, [f"{key.source}/{key.id}" for key in mine])
    counts = ((key.id, times.get(f"{key.source}/{key.id}", 0)) for key in mine)
    return [f"feedback {name}: applied {count} times" for name, count in counts if count != 1]


async def _clashes(postgres: str, source: str, doors: Doors) -> list[str]:
    """Every payload that came under a used id was refused, and is on the books."""
    noted = await evidence.incidents(postgres, source)
    return [
        f"{key.domain} {key.id}: another payload under its id, {noted.get(key, 0)} incidents noted"
        for key in doors.clashes
        if not noted.get(key)
    ]
