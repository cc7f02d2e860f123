"""The set-full check finds what it is there to find: a check that cannot fail proves nothing."""

import hashlib
from dataclasses import replace

import pytest

from bench.check import Published, Stored, Told, audit, repeats
from bench.events import Planned, Traffic
from protos import intent_pb2
from shared.event import Key


def planned(number: int, reason: str = "") -> Planned:
    request = intent_pb2.IntentRequest(text=f"text {number}")
    return Planned(Key("intent", "test", f"e-{number}"), request, reason=reason)


ACCEPTED = {each.key: each for each in (planned(1), planned(2), planned(3, reason="TEXT_EMPTY"))}
KEYS = list(ACCEPTED)


def stored() -> list[Stored]:
    """What a faultless run stores."""
    return [
        Stored(
            key,
            "dead_letter" if each.reason else "result",
            each.reason or None,
            each.digest,
            b"body " + key.id.encode(),
        )
        for key, each in ACCEPTED.items()
    ]


def published() -> list[Published]:
    """What a faultless run publishes."""
    return [
        Published(row.key, row.kind, row.reason or "", row.body if row.kind == "result" else b"original")
        for row in stored()
    ]


def test_a_faultless_run_has_no_violations() -> None:
    """Everything once, in Postgres and on its topic; a repeat on a topic is allowed and counted."""
    records = [*published(), published()[0]]
    assert audit(ACCEPTED, stored(), records, [Told(KEYS[0], stored()[0].body)]) == []
    assert repeats(records) == 1


def test_a_lost_event_is_found() -> None:
    """Accepted without a row."""
    (found,) = audit(ACCEPTED, stored()[1:], published()[1:])
    assert found == "intent e-1: LOST, accepted but without an outcome"


def test_a_second_row_is_found() -> None:
    """Stored twice."""
    (found,) = audit(ACCEPTED, [*stored(), stored()[1]], published())
    assert found == "intent e-2: TWICE, 2 outcomes are stored"


def test_an_invented_row_is_found() -> None:
    """Stored without having been sent."""
    row = replace(stored()[0], key=Key("intent", "test", "ghost"))
    assert audit(ACCEPTED, [*stored(), row], published()) == ["intent ghost: INVENTED, stored but never sent"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "dead_letter", "reason": "HANDLER_FAILED"}, "ended as dead_letter HANDLER_FAILED, expected a result"),
        ({"digest": hashlib.sha256(b"other").digest()}, "the outcome is of another payload"),
    ],
)
def test_a_wrong_row_is_found(change: dict[str, object], words: str) -> None:
    """Another kind of end than the event must have, or the outcome of another payload."""
    rows = stored()
    rows[0] = replace(rows[0], **change)  # type: ignore[arg-type]
    assert any(words in found for found in audit(ACCEPTED, rows, published()))


def test_an_unpublished_outcome_is_found() -> None:
    """Stored, and not on its topic."""
    assert audit(ACCEPTED, stored(), published()[1:]) == [
        "intent e-1: LOST on its topic, stored as result but not published"
    ]


def test_an_altered_record_is_found() -> None:
    """Published otherwise than stored, or of an event that is not stored at all, or as the other kind."""
    changed = [replace(published()[0], value=b"another body"), *published()[1:]]
    assert audit(ACCEPTED, stored(), changed) == ["intent e-1: what was published is not what is stored"]
    ghost = replace(published()[0], key=Key("intent", "test", "ghost"))
    assert audit(ACCEPTED, stored(), [*published(), ghost]) == [
        "intent ghost: INVENTED on a topic, published but not stored"
    ]
    both = [*published(), replace(published()[0], kind="dead_letter", reason="TEXT_EMPTY")]
    assert audit(ACCEPTED, stored(), both) == ["intent e-1: published as dead_letter, stored as result"]


def test_a_caller_who_was_told_something_else_is_found() -> None:
    """The reply of a call differs from the stored outcome."""
    assert audit(ACCEPTED, stored(), published(), [Told(KEYS[0], b"another")]) == [
        "intent e-1: the caller was told something else than is stored"
    ]


def test_the_same_seed_draws_the_same_events() -> None:
    """So that a failed run can be run again."""
    first, second = (Traffic("s", 7, {"intent": 0.7, "risk": 0.3}) for _ in range(2))
    drawn = [first.draw() for _ in range(200)]
    assert drawn == [second.draw() for _ in range(200)]
    assert {each.door for each in drawn} == {"kafka", "grpc", "both"}
    assert any(each.reason for each in drawn)
    assert any(each.copies > 1 for each in drawn)
    assert any(each.clash is not None for each in drawn)
