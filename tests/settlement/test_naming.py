"""How an event is named, whatever its record or call says."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Reject
from shared.event import Headers
from shared.serve.call import arrive as arrive_call
from shared.serve.call import new_id
from shared.store.outcome import Outcome, Settled
from shared.topic.cloudevents import arrive, headers
from shared.topic.records import record
from tests.echo import echo
from tests.fakes import NOW
from tests.serving.client import call

ECHO = echo("intent")
TOPIC = "intent.requests.v1"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["ce_id", "ce_source", "ce_subject", "ce_caller", "ce_time", "content-type", "traceparent"]
            ),
            st.none() | st.binary(max_size=300),
        )
    )
)
def test_no_header_can_crash_the_door(told: list[tuple[str, bytes]]) -> None:
    """Whatever bytes a producer sets: an arrival with a usable key, flawed or not."""
    made = arrive("intent", TOPIC, 3, 14, NOW, None, b"", tuple(told))
    assert made.key.source.isprintable()
    assert 0 < len(made.key.id.encode()) <= 256
    assert made.place == f"{TOPIC}:3:14"


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ((("ce_id", b"\xff"),), "EVENT_NAME_INVALID"),
        ((("ce_id", b"a\0"),), "EVENT_NAME_INVALID"),
        ((("ce_source", b"x" * 257),), "EVENT_NAME_TOO_LONG"),
        ((("ce_subject", "ü".encode() * 129),), "EVENT_NAME_TOO_LONG"),
        ((("ce_time", b"2026-05-04T03:02:01"),), "EVENT_TIME_INVALID"),
        ((("ce_time", b"9999-12-31T23:59:59-23:00"),), "EVENT_TIME_INVALID"),
    ],
)
def test_a_flawed_header_names_the_event_by_its_place(told: Headers, reason: str) -> None:
    """The dead letter still has a key of its own."""
    made = arrive("intent", TOPIC, 3, 14, NOW, None, b"", told)
    assert made.flaw is not None
    assert made.flaw.reason == reason
    assert (made.key.source, made.key.id) == (TOPIC, f"{TOPIC}:3:14")


def test_times_with_any_zone_are_one_time() -> None:
    """RFC 3339, also with Z."""
    for text in (b"2026-05-04T03:02:01Z", b"2026-05-04T05:02:01+02:00"):
        assert arrive("intent", TOPIC, 0, 0, NOW, None, b"", (("ce_time", text),)).time == NOW


def test_generated_ids_are_uuids_that_order_by_time() -> None:
    """Version 7, so that rows of a time lie together."""
    ids = [new_id() for _ in range(50)]
    assert {uuid.UUID(each).version for each in ids} == {7}
    assert len(set(ids)) == 50
    assert ids[0][:8] <= ids[-1][:8]


def test_a_call_with_an_impossible_time_is_refused() -> None:
    """Timestamps beyond the years 1 to 9999 have no date."""
    impossible = call("a", "1")
    impossible.event.time.seconds = 1 << 60
    with pytest.raises(Reject, match="EVENT_TIME_INVALID"):
        arrive_call(ECHO, impossible, "", 0.0, (), "run")


def test_nobody_learns_the_subject_of_who_had_the_id_first() -> None:
    """The dead letter of a reused id is keyed by its own record alone."""
    first = Outcome(
        key=arrive("intent", TOPIC, 0, 0, NOW, None, b"", (("ce_id", b"1"),)).key,
        digest=b"",
        kind="result",
        body=b"",
        door="kafka",
        place="elsewhere",
        event_time=NOW,
        arrived_at=NOW,
        subject="secret",
    )
    made = record(ECHO, Settled(first, reused=True, payload=b"other", place=f"{TOPIC}:0:1"))
    assert made.key is None
    assert b"secret" not in b"".join(value for _, value in made.headers)


def test_published_headers_follow_cloudevents() -> None:
    """Those that are required, and the optional ones only where there is something to say."""
    made = dict(
        headers("tidemill/intent", "1", "t", "application/json", subject="s", time=datetime(2026, 1, 1, tzinfo=UTC))
    )
    assert made["ce_specversion"] == b"1.0"
    assert made["ce_time"] == b"2026-01-01T00:00:00+00:00"
    assert "ce_subject" not in dict(headers("a", "1", "t", "application/json"))
