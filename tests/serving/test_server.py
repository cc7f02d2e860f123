"""The synchronous door, as a process on real servers."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protos import event_pb2, intent_pb2
from tests.serving.client import Client, call, refused
from tests.stack import Process, Stack, free_port, wait_until

Code = grpc.StatusCode


def test_a_call_is_answered_and_projected(stack: Stack, client: Client) -> None:
    """The answer comes at once, an id is made where there was none, and the result reaches its topic."""
    reply = client.classify("hello")
    assert reply.result.intent == "hello"
    assert reply.event.id
    assert not reply.known
    [record] = stack.read("results", 1)
    assert record.value == reply.result.SerializeToString()
    assert dict(record.headers)["ce_eventid"].decode() == reply.event.id
    wait_until(lambda: stack.rows("SELECT count(*) FROM outbox WHERE domain = $1")[0][0] == 0, "the outbox is empty")


def test_the_same_call_again_is_known(client: Client) -> None:
    """The stored outcome is given again, and GetOutcome finds it too."""
    first, again = client.classify("hello", "1"), client.classify("hello", "1")
    assert again.known
    assert again.result == first.result
    assert client.outcome("1").result == first.result


def test_get_outcome_of_an_unknown_event(client: Client) -> None:
    """NOT_FOUND for what was never settled, INVALID_ARGUMENT without an id."""
    with refused(Code.NOT_FOUND):
        client.outcome("never")
    with refused(Code.INVALID_ARGUMENT):
        client.outcome("")


def test_another_payload_with_the_same_id_is_refused(stack: Stack, client: Client) -> None:
    """ALREADY_EXISTS, with a reason for programs and an incident row; the first outcome stands."""
    client.classify("hello", "1")
    with refused(Code.ALREADY_EXISTS) as details:
        client.classify("something else", "1")
    assert details[0].reason == "ID_REUSED"
    assert client.outcome("1").result.intent == "hello"
    assert len(stack.rows("SELECT * FROM incidents WHERE domain = $1")) == 1


def test_a_dead_letter_is_stored_and_named(stack: Stack, client: Client) -> None:
    """INVALID_ARGUMENT names the field; the same key gives the same refusal; the dead letter reaches its topic with its bytes."""
    for _ in range(2):
        with refused(Code.INVALID_ARGUMENT) as details:
            client.classify("reject", "1")
        assert details[0].reason == "TEXT_REFUSED"
        assert details[1].field_violations[0].field == "text"
    assert client.outcome("1").dead_letter.reason == "TEXT_REFUSED"
    [letter] = stack.read("dead-letters", 1)
    assert letter.value == intent_pb2.IntentRequest(text="reject").SerializeToString()
    assert dict(letter.headers)["dlq.reason"] == b"TEXT_REFUSED"


def test_a_dead_letter_keeps_a_large_payload(stack: Stack, client: Client) -> None:
    """What should have kept the event's order, and is no name, is not written beside it a second and a third time."""
    asked = intent_pb2.IntentRequest(text="reject", conversation="c" * 7_000_000)
    with refused(Code.INVALID_ARGUMENT):
        client.unary("Classify", intent_pb2.IntentCall(event=event_pb2.Event(id="1"), request=asked))
    [letter] = stack.read("dead-letters", 1)
    assert letter.value == asked.SerializeToString()
    assert (letter.key, "ce_subject" in dict(letter.headers)) == (None, False)


def test_a_bug_says_nothing_of_itself(server: Process, client: Client) -> None:
    """INTERNAL, and neither the caller nor the log sees the exception's text."""
    with pytest.raises(grpc.RpcError) as raised:
        client.classify("bug 4111 1111", "1")
    assert raised.value.code() == Code.INTERNAL
    assert "4111" not in str(raised.value.details()) + server.said()


NAMES = {
    "source": {"source": "x" * 257},
    "id": {"id": "x" * 257},
    "subject": {"subject": "línea\n2"},
    "caller": {"caller": "a\0b"},
}


@pytest.mark.parametrize("field", NAMES)
def test_an_event_that_cannot_be_named_is_refused_at_the_door(stack: Stack, client: Client, field: str) -> None:
    """There is no key to store an outcome under, so none is; the field is named."""
    with refused(Code.INVALID_ARGUMENT) as details:
        client.unary("Classify", call("hello", **{"id": "1", **NAMES[field]}))
    assert details[1].field_violations[0].field == f"event.{field}"
    assert stack.count() == 0


def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    """INVALID_ARGUMENT, not INTERNAL."""
    for method in ("Classify", "ClassifyBatch", "GetOutcome"):
        with refused(Code.INVALID_ARGUMENT) as details:
            client.unary(method, b"\xff\xff\xff")
        assert details[0].reason == "CALL_NOT_PROTOBUF"


def test_a_payload_beyond_the_limit_is_a_dead_letter(client: Client) -> None:
    """As it would be on the topic."""
    with refused(Code.INVALID_ARGUMENT) as details:
        client.classify("x" * (16 * 1024 * 1024 + 1), "1")
    assert details[0].reason == "PAYLOAD_TOO_LARGE"


def test_a_batch_is_answered_item_by_item(client: Client) -> None:
    """In the order of the calls; what cannot succeed is a dead letter of its own, and harms no neighbour."""
    client.classify("first", "used")
    replies = client.batch(
        [
            call("a", "1"),
            call("reject", "2"),
            call("other", "used"),
            call("x", "y" * 300),
            call("a", "1"),
            call("b", "3"),
        ]
    )
    kinds = [reply.WhichOneof("outcome") for reply in replies]
    assert kinds == ["result", "dead_letter", "dead_letter", "dead_letter", "result", "result"]
    assert [replies[i].dead_letter.reason for i in (1, 2, 3)] == ["TEXT_REFUSED", "ID_REUSED", "EVENT_NAME_TOO_LONG"]
    assert [replies[i].known for i in (0, 4)] == [False, True]
    assert [reply.event.id for reply in (replies[0], replies[1], replies[5])] == ["1", "2", "3"]


def test_a_batch_has_a_limit(client: Client) -> None:
    """256 are taken, 257 are not, and an empty batch is an empty answer."""
    assert len(client.batch([call("a", str(n)) for n in range(256)])) == 256
    assert len(client.batch([])) == 0
    with refused(Code.INVALID_ARGUMENT) as details:
        client.batch([call("a", str(n)) for n in range(257)])
    assert details[0].reason == "BATCH_TOO_LARGE"


def test_a_stream_is_answered_in_order(client: Client) -> None:
    """Replies come while calls still do, in the order of the calls, far beyond the window."""
    texts = ["slow 0.2", *(f"text {n}" for n in range(300)), "reject"]
    replies = list(client.stream(iter([call(text, str(n)) for n, text in enumerate(texts)])))
    assert [reply.event.id for reply in replies] == [str(n) for n in range(len(texts))]
    assert [reply.result.intent for reply in replies[:-1]] == texts[:-1]
    assert replies[-1].dead_letter.reason == "TEXT_REFUSED"


def test_a_stream_ends_with_a_reason(client: Client) -> None:
    """A message that is no call ends the stream; what came before it is answered."""
    replies = client.stream(iter([call("a", "1"), b"\xff\xff"]))
    assert next(replies).result.intent == "a"
    with refused(Code.INVALID_ARGUMENT):
        next(replies)


def test_a_deadline_that_passes_leaves_no_outcome(client: Client) -> None:
    """The caller is told, the key is free, and the next call with it is a new one."""
    with refused(Code.DEADLINE_EXCEEDED):
        client.classify("slow 30", "1", timeout=1)
    with refused(Code.NOT_FOUND):
        client.outcome("1")
    assert client.classify("hello", "1").result.intent == "hello"


def test_what_is_down_is_unavailable(client: Client) -> None:
    """We try until the deadline, then say when to come back; nothing is stored."""
    with refused(Code.UNAVAILABLE) as details:
        client.classify("down", "1", timeout=2)
    assert details[0].retry_delay.seconds >= 1
    with refused(Code.NOT_FOUND):
        client.outcome("1")


def test_a_call_without_a_deadline_gets_one(stack: Stack) -> None:
    """And a long one is cut."""
    with stack.run("serve", TIDEMILL_CALL_TIMEOUT="0.5", TIDEMILL_CALL_TIMEOUT_MAX="1") as process:
        client = Client(stack, process.await_serving())
        for timeout in (None, 50):
            started = time.monotonic()
            with refused(Code.DEADLINE_EXCEEDED):
                client.classify("slow 40", "1", timeout=timeout)
            assert time.monotonic() - started < 30
        client.channel.close()


def test_the_caller_is_taken_from_the_event_or_the_metadata(stack: Stack, client: Client) -> None:
    """The event's own word comes first."""
    client.classify("a", "1", metadata=(("tidemill-caller", "acme"),))
    client.unary("Classify", call("a", "2", caller="mill"), metadata=(("tidemill-caller", "acme"),))
    client.classify("a", "3")
    rows = stack.rows("SELECT caller FROM outcomes WHERE domain = $1 ORDER BY id")
    assert [row["caller"] for row in rows] == ["acme", "mill", "anonymous"]


def test_every_call_is_accounted_for(stack: Stack, client: Client) -> None:
    """accepted = settled (a reused id, too, has its row) + returned, in Postgres within a moment."""
    client.batch([call("a", str(n)) for n in range(10)])
    client.classify("a", "1")
    for text, id_ in (("down", "x"), ("something else", "1")):
        with pytest.raises(grpc.RpcError):
            client.classify(text, id_, timeout=1)
    query = "SELECT accepted, settled, returned FROM calls WHERE domain = $1"
    wait_until(lambda: tuple(stack.rows(query)[0]) == (13, 12, 1), "13 accepted, 12 settled, 1 returned")


def test_many_callers_at_once(stack: Stack, client: Client) -> None:
    """Concurrent calls share transactions; each gets its own answer."""
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda n: client.classify(f"text {n}", str(n)), range(400)))
    assert [reply.result.intent for reply in replies] == [f"text {n}" for n in range(400)]
    assert stack.count() == 400


def test_sigterm_answers_what_is_in_hand(stack: Stack, server: Process, client: Client) -> None:
    """NOT_SERVING first; the call in hand is answered, projected and counted; the exit code is 0."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.classify, "slow 2", "1")
        wait_until(
            lambda: stack.rows("SELECT accepted FROM calls WHERE domain = $1 AND accepted = 1"), "it is accepted"
        )
        assert server.terminate() == 0
        assert answer.result().result.intent == "slow 2"
    assert len(stack.read("results", 1)) == 1
    assert stack.rows("SELECT count(*) FROM outbox WHERE domain = $1")[0][0] == 0
    assert tuple(stack.rows("SELECT accepted, settled, returned FROM calls WHERE domain = $1")[0]) == (1, 1, 0)


def test_sigterm_ends_open_streams(stack: Stack, server: Process, client: Client) -> None:
    """A stream that would stay open for ever is told to go elsewhere."""

    def calls() -> Iterator[Any]:
        yield call("a", "1")
        time.sleep(60)

    replies = client.stream(calls())
    assert next(replies).result.intent == "a"
    assert server.terminate() == 0
    with refused(Code.UNAVAILABLE):
        next(replies)


def test_what_a_killed_server_left_is_published_by_another(stack: Stack) -> None:
    """The outbox outlives the process that answered."""
    with stack.run("serve", TIDEMILL_KAFKA=stack.settings.kafka) as process:
        client = Client(stack, process.await_serving())
        client.classify("hello", "1")
        with pytest.raises(grpc.RpcError):
            client.classify("reject", "2")
        client.channel.close()
        process.kill()
    stack.rows(
        "INSERT INTO outbox (domain, source, id) SELECT domain, source, id FROM outcomes WHERE domain = $1 ON CONFLICT DO NOTHING"
    )
    stack.rows("UPDATE outbox SET queued_at = now() - interval '1 minute' WHERE domain = $1")
    with stack.run("serve", instance="local-1"):
        wait_until(
            lambda: stack.rows("SELECT count(*) FROM outbox WHERE domain = $1")[0][0] == 0, "the outbox is empty"
        )
    assert {r.value for r in stack.read("dead-letters", 1)} == {
        intent_pb2.IntentRequest(text="reject").SerializeToString()
    }
    assert {intent_pb2.IntentResult.FromString(r.value).intent for r in stack.read("results", 1)} == {"hello"}


def test_a_server_without_its_dependencies_says_so(stack: Stack) -> None:
    """It listens, answers UNAVAILABLE and NOT_SERVING, and stops when told."""
    with stack.run("serve", TIDEMILL_REDIS=f"redis://127.0.0.1:{free_port()}/0") as process:
        wait_until(lambda: "waiting for redis" in process.said(), "waiting for redis")
        client = Client(stack, process)
        with refused(Code.UNAVAILABLE):
            client.classify("hello", "1")
        assert not process.serving()
        client.channel.close()
        assert process.terminate() == 0


def test_two_processes_cannot_listen_on_one_port(stack: Stack, server: Process) -> None:
    """The second says which address is taken, and ends."""
    with stack.run("serve", instance="local-1", TIDEMILL_LISTEN=server.listen) as second:
        assert second.popen.wait(60) == 1
        assert f"cannot listen on {server.listen}" in second.said()


def test_get_outcome_uses_the_topic_as_default_source(stack: Stack, client: Client) -> None:
    """An event without a source is named as the same event would be on the topic."""
    client.unary("Classify", call("hello", "1", source=""))
    assert client.outcome("1", source=stack.requests).result.intent == "hello"
    assert client.unary("GetOutcome", event_pb2.Event(id="1")).known
