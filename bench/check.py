"""The set-full check: what was accepted against what is stored and what was published. Nothing lost, nothing twice, nothing invented.

After Jepsen's `set-full` and `total-queue`: the store holds each accepted event exactly once; topics may repeat a record, word for word.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from bench.events import Planned
from shared.event import Key


@dataclass(frozen=True, slots=True)
class Stored:
    """One row of `outcomes`."""

    key: Key
    kind: str
    reason: str | None
    digest: bytes
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """One record of a results or dead-letter topic."""

    key: Key
    kind: str
    reason: str
    value: bytes = field(repr=False)
    json: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What one gRPC caller was answered: the stored result, serialised."""

    key: Key
    body: bytes = field(repr=False)


def audit(
    accepted: Mapping[Key, Planned], stored: Iterable[Stored], published: Iterable[Published], told: Iterable[Told] = ()
) -> list[str]:
    """Every violation in words; an empty list is the proof."""
    rows: dict[Key, list[Stored]] = defaultdict(list)
    for row in stored:
        rows[row.key].append(row)
    return [
        *_rows(accepted, rows),
        *_records(accepted, {key: found[0] for key, found in rows.items()}, list(published)),
        *(
            f"{_name(answer.key)}: the caller was told something else than is stored"
            for answer in told
            if answer.key in rows and answer.body != rows[answer.key][0].body
        ),
    ]


def _rows(accepted: Mapping[Key, Planned], rows: Mapping[Key, list[Stored]]) -> Iterator[str]:
    for key, planned in accepted.items():
        found = rows.get(key, [])
        if not found:
            yield f"{_name(key)}: LOST, accepted but without an outcome"
            continue
        if len(found) > 1:
            yield f"{_name(key)}: TWICE, {len(found)} outcomes are stored"
        row = found[0]
        if (row.kind == "dead_letter") != bool(planned.reason) or (row.reason or "") != planned.reason:
            yield f"{_name(key)}: ended as {row.kind} {row.reason or ''}, expected {planned.reason or 'a result'}"
        if row.digest != planned.digest:
            yield f"{_name(key)}: the outcome is of another payload"
    for key in rows.keys() - accepted.keys():
        yield f"{_name(key)}: INVENTED, stored but never sent"


def _records(accepted: Mapping[Key, Planned], rows: Mapping[Key, Stored], published: list[Published]) -> Iterator[str]:
    seen = {(record.key, record.kind) for record in published if record.reason != "ID_REUSED"}
    for key, row in rows.items():
        if key in accepted and (key, row.kind) not in seen:
            yield f"{_name(key)}: LOST on its topic, stored as {row.kind} but not published"
    for record in published:
        kept = rows.get(record.key)
        if kept is None:
            yield f"{_name(record.key)}: INVENTED on a topic, published but not stored"
        elif record.reason == "ID_REUSED":
            continue
        elif record.kind != kept.kind:
            yield f"{_name(record.key)}: published as {record.kind}, stored as {kept.kind}"
        elif record.kind == "result" and not record.json and record.value != kept.body:
            yield f"{_name(record.key)}: what was published is not what is stored"


def repeats(published: Iterable[Published]) -> int:
    """How many records of the topics repeat an earlier one: allowed, and counted."""
    counted = Counter((record.key, record.kind) for record in published if record.reason != "ID_REUSED")
    return sum(count - 1 for count in counted.values())


def _name(key: Key) -> str:
    return f"{key.domain} {key.id}"
