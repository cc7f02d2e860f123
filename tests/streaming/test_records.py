"""What is published of an event, and what a record's headers may hold."""

from datetime import UTC, datetime

from shared.event import Key
from shared.store.outcome import Outcome, Settled
from shared.telemetry import trace_id
from shared.topic.cloudevents import arrive
from shared.topic.records import record
from tests.echo import answer, echo

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ECHO = echo("echo")
FIRST = Outcome(
    Key("echo", "shop", "1"), b"", "result", answer("mine").SerializeToString(), "kafka", "echo.requests.v1:0:1", NOW, NOW,
    subject="alice",
)  # fmt: skip


def test_who_reuses_an_id_is_told_nothing_of_the_first_event() -> None:
    """Neither in the dead letter's key, though the record had none, nor in its headers or its value."""
    second = Settled(FIRST, reused=True, payload=b"theirs", place="echo.requests.v1:0:2")
    letter = record(ECHO, second)
    assert (letter.topic, letter.key, letter.value) == ("echo.dead-letters.v1", None, b"theirs")
    assert dict(letter.headers)["dlq.reason"] == b"ID_REUSED"
    assert not any(word in value for _, value in letter.headers for word in (b"alice", b"mine"))


def test_a_result_without_a_record_key_keeps_its_subjects_order() -> None:
    """The key of what is published is the record's, else the subject."""
    assert record(ECHO, Settled(FIRST, place=FIRST.place)).key == b"alice"


def test_null_headers_are_taken_for_absent_ones() -> None:
    """Kafka allows a header without a value; none of them may stop the worker."""
    names = ("traceparent", "tracestate", "content-type", "ce_id", "ce_source", "ce_time", "ce_caller", "ce_subject")
    headers = tuple((name, None) for name in names)
    arrival = arrive("echo", "echo.requests.v1", 0, 7, NOW, None, b"", headers)  # type: ignore[arg-type]
    assert arrival.flaw is None
    assert arrival.key == Key("echo", "echo.requests.v1", "echo.requests.v1:0:7")
    assert len(trace_id(arrival.headers)) == 32
