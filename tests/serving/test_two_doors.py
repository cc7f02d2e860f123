"""One key, two doors: an event that comes by Kafka and by gRPC has one outcome, and the same answer at both."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from protos import intent_pb2
from tests.serving.client import Client, call
from tests.stack import Process, Stack, headers, request, wait_until

EVENTS = 500


@pytest.fixture
def worker(stack: Stack) -> Iterator[Process]:
    with stack.run("stream", instance="worker-0") as process:
        yield process.await_serving()


def send(stack: Stack, word: str = "text") -> None:
    stack.send([(b"c%d" % (n % 20), request(f"{word} {n}"), headers(str(n))) for n in range(EVENTS)])


def published(stack: Stack) -> dict[str, set[bytes]]:
    """The different values on the results topic, by event id."""
    values: dict[str, set[bytes]] = {}
    for record in stack.read("results", EVENTS):
        values.setdefault(dict(record.headers)["ce_eventid"].decode(), set()).add(record.value)
    return values


def check(stack: Stack, answers: dict[str, bytes]) -> None:
    """Every event has one outcome, and whoever asked or listened was told the same."""
    wait_until(lambda: len(stack.places()) == 2 * EVENTS, "both arrivals of every event are dealt with")
    assert stack.count() == EVENTS
    wait_until(lambda: len(published(stack)) == EVENTS, "all are published")
    assert published(stack) == {name: {answer} for name, answer in answers.items()}


def ask(client: Client, word: str = "text") -> dict[str, bytes]:
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda n: client.classify(f"{word} {n}", str(n)), range(EVENTS)))
    return {reply.event.id: reply.result.SerializeToString() for reply in replies}


def test_both_at_once(stack: Stack, worker: Process, client: Client) -> None:
    """Whoever comes first is worked on; the other gets that outcome."""
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send, stack)
        answers = ask(client)
        sending.result()
    check(stack, answers)


def test_kafka_then_grpc_then_another_payload(stack: Stack, worker: Process, client: Client) -> None:
    """One after the other, and then something else under the same ids: refused at both doors."""
    send(stack)
    wait_until(lambda: stack.count() == EVENTS, "all are settled")
    answers = ask(client)
    check(stack, answers)
    replies = [
        reply
        for start in range(0, EVENTS, 250)
        for reply in client.batch([call(f"other {n}", str(n)) for n in range(start, start + 250)])
    ]
    assert {reply.dead_letter.reason for reply in replies} == {"ID_REUSED"}
    send(stack, "another")
    letters = stack.read("dead-letters", EVENTS)
    assert {dict(letter.headers)["dlq.reason"] for letter in letters} == {b"ID_REUSED"}
    assert {intent_pb2.IntentRequest.FromString(letter.value).text.split()[0] for letter in letters} == {"another"}
    assert stack.count() == EVENTS
    assert len(stack.rows("SELECT place FROM incidents WHERE domain = $1")) == 2 * EVENTS


def test_a_dead_letter_is_the_same_at_both_doors(stack: Stack, worker: Process, client: Client) -> None:
    """Refused once, refused again with the same words."""
    stack.send([(None, request("reject"), headers("1"))])
    wait_until(lambda: stack.count() == 1, "it is settled")
    with pytest.raises(grpc.RpcError) as raised:
        client.classify("reject", "1")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "TEXT_REFUSED" in str(raised.value.details())
