"""The streamed door, as a process on real servers."""

import asyncio
import json
import time

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from protos import intent_pb2
from tests.stack import Process, Stack, headers, request, wait_until


def test_an_event_becomes_a_published_result(stack: Stack) -> None:
    """One record in, its result out, with headers that tie the two together."""
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with stack.run("stream") as worker:
        stack.send([(b"c1", request("hello"), headers("1", ce_subject=b"c1", traceparent=trace))])
        worker.await_serving()
        [record] = stack.read("results", 1)
    result = intent_pb2.IntentResult.FromString(record.value)
    told = dict(record.headers)
    assert (result.intent, result.answer.event.id, record.key) == ("hello", "1", b"c1")
    assert (told["ce_eventsource"], told["ce_eventid"], told["ce_subject"]) == (b"shop", b"1", b"c1")
    assert told["ce_id"].decode() == result.answer.prediction_id
    assert result.answer.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert (told["content-type"], told["traceparent"]) == (b"application/protobuf", trace)


def test_a_json_request_gets_a_json_result(stack: Stack) -> None:
    """What asked in JSON is answered in JSON."""
    with stack.run("stream"):
        stack.send([(None, b'{"text": "hello"}', headers("1", content_type="application/json"))])
        [record] = stack.read("results", 1)
    assert json.loads(record.value)["intent"] == "hello"
    assert dict(record.headers)["content-type"] == b"application/json"


# what is sent (key, value, headers) and the reason it is refused with; in one batch with events that are fine
POISON = {
    "PAYLOAD_NOT_PROTOBUF": (b"k1", b"\xff\xff\xff", headers("p1", kept=b"as it was")),
    "PAYLOAD_NOT_JSON": (None, b'{"txet": 1}', headers("p2", content_type="application/json")),
    "CONTENT_TYPE_UNKNOWN": (None, b"x", headers("p3", content_type="text/plain")),
    "EVENT_NAME_TOO_LONG": (None, request("a"), headers("x" * 300)),
    "EVENT_NAME_INVALID": (None, request("a"), [*headers("p4"), ("ce_subject", b"\xff\xfe")]),
    "EVENT_TIME_INVALID": (None, request("a"), headers("p5", ce_time=b"yesterday")),
    "TEXT_EMPTY": (b"k6", None, headers("p6")),
    "TEXT_REFUSED": (None, request("reject"), [*headers("p7"), ("traceparent", None), ("ce_subject", None)]),
    "HANDLER_FAILED": (None, request("bug 4111 1111"), headers("p8")),
    "ID_REUSED": (None, request("something else"), headers("fine-0")),
}


def test_bad_records_cost_themselves_alone(stack: Stack) -> None:
    """Each is a dead letter with its bytes, key and headers as they were; what was sent with them is answered."""
    fine = [(b"c", request(f"text {i}"), headers(f"fine-{i}")) for i in range(8)]
    stack.send([*fine[:4], *POISON.values(), *fine[4:]])
    with stack.run("stream") as worker:
        letters = stack.read("dead-letters", len(POISON))
        results = stack.read("results", len(fine))
        assert "4111" not in worker.said()
    assert {dict(r.headers)["ce_eventid"] for r in results} == {b"fine-%d" % i for i in range(8)}
    by_reason = {dict(letter.headers)["dlq.reason"].decode(): letter for letter in letters}
    assert by_reason.keys() == POISON.keys()
    for reason, (key, value, sent) in POISON.items():
        letter = by_reason[reason]
        assert (letter.key, letter.value) == (key, value or b"")
        assert set(sent) <= set(letter.headers)
        told = dict(letter.headers)
        assert told["__streams.errors.topic"].decode() == stack.requests
        assert told["__streams.errors.exception"].decode() == reason
        assert told["dlq.consumer.group"].decode() == stack.name
        assert told["dlq.attempts"] == (b"3" if reason == "HANDLER_FAILED" else b"1")
    assert stack.count() == len(fine) + len(POISON) - 1, "the reused id has no outcome of its own"
    assert stack.rows("SELECT id FROM incidents WHERE domain = $1")[0]["id"] == "fine-0"


def test_whatever_producers_compress_with_is_read(stack: Stack) -> None:
    """A codec that we could not read would end every worker, again and again."""

    async def send() -> None:
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            producer = AIOKafkaProducer(bootstrap_servers=stack.settings.kafka, compression_type=codec)
            await producer.start()
            await producer.send_and_wait(stack.requests, request(codec * 100), headers=headers(codec))
            await producer.stop()

    asyncio.run(send())
    with stack.run("stream"):
        results = stack.read("results", 4)
    assert {dict(r.headers)["ce_eventid"] for r in results} == {b"gzip", b"snappy", b"lz4", b"zstd"}


class NotUnicode(str):
    """A header's name as a producer in C or Go may send it."""

    def encode(self, *_: object) -> bytes:
        return b"\xffn"


def test_a_header_whose_name_is_not_utf_8_ends_no_worker(stack: Stack) -> None:
    """Its event is one like any other, and its dead letter has the name with the strange bytes written out."""
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka, linger_ms=500)
    for name, text in (("1", "a"), ("2", "b"), ("3", "reject"), ("4", "c")):
        strange = [] if name == "1" else [(NotUnicode("n"), b"v")]
        producer.send(stack.requests, request(text), headers=[*headers(name), *strange], partition=0)
    producer.close()
    with stack.run("stream"):
        results, [letter] = stack.read("results", 3), stack.read("dead-letters", 1)
    assert {dict(r.headers)["ce_eventid"] for r in results} == {b"1", b"2", b"4"}
    assert ("\\xffn", b"v") in letter.headers
    assert (dict(letter.headers)["ce_id"], letter.value) == (b"3", request("reject"))


def test_records_without_an_id_are_named_by_their_place(stack: Stack) -> None:
    """Two records without ce_id are two events."""
    with stack.run("stream"):
        stack.send([(None, request("a"), headers(None)), (None, request("a"), headers(None))])
        results = stack.read("results", 2)
    ids = {intent_pb2.IntentResult.FromString(r.value).answer.event.id for r in results}
    assert {name.rsplit(":", 2)[0] for name in ids} == {stack.requests}
    assert len(ids) == 2


def test_a_repeated_event_is_published_again_as_it_was(stack: Stack) -> None:
    """The same event under another offset: one outcome, a repeat row, the same record again with the same ce_id."""
    with stack.run("stream"):
        stack.send([(None, request("a"), headers("1")), (None, request("a"), headers("1"))])
        one, other = stack.read("results", 2)
    assert one.value == other.value
    assert dict(one.headers)["ce_id"] == dict(other.headers)["ce_id"]
    assert stack.count() == 1
    assert len(stack.rows("SELECT * FROM repeats WHERE domain = $1")) == 1


def await_lag_zero(stack: Stack, sent: int) -> None:
    wait_until(lambda: sum(stack.committed().values()) == sent, f"{sent} offsets are committed")


def test_offsets_follow_what_is_finished(stack: Stack) -> None:
    """A second after the last event everything is committed, also after a rejected one."""
    stack.send([(b"%d" % i, request("reject" if i % 7 == 0 else f"{i}"), headers(str(i))) for i in range(100)])
    with stack.run("stream"):
        await_lag_zero(stack, 100)


def test_sigterm_finishes_the_batch_in_hand(stack: Stack) -> None:
    """Told to stop in mid-batch, the worker finishes it, commits it and exits with 0."""
    stack.send([(b"c", request("slow 2"), headers(str(i))) for i in range(5)])
    with stack.run("stream") as worker:
        wait_until(worker.serving, "serving")
        time.sleep(0.5)
        assert worker.terminate() == 0
        assert not stack.unfinished_but_committed()
        assert stack.count() == sum(stack.committed().values())  # a batch may be fewer than the five
    with stack.run("stream"):
        await_lag_zero(stack, 5)
    assert stack.count() == 5


def test_transactions_are_honoured(stack: Stack) -> None:
    """What was aborted is no event; and the markers that transactions leave in the log are not taken for a backlog."""
    stack.send([(None, request("kept"), headers("1"))], "commit")
    stack.send([(None, request("thought better of"), headers("2"))], "abort")
    with stack.run("stream", ECHO_STALLED="1") as worker:
        stack.read("results", 1)
        time.sleep(5)  # in which an idle worker would twice have been taken for stalled
        assert worker.serving(), worker.said()
    assert stack.count() == 1
    assert stack.rows("SELECT id FROM outcomes WHERE domain = $1")[0]["id"] == "1"


def test_sigterm_while_something_is_down_commits_nothing_unfinished(stack: Stack) -> None:
    """A batch that waits in place is left for the next process; the exit is still in order."""
    stack.send([(b"c", request("down"), headers("1"))])
    with stack.run("stream", ECHO_DRAIN="2") as worker:
        wait_until(lambda: "waiting for inference" in worker.said(), "the wait is in the log")
        assert worker.terminate() == 0
    assert not stack.unfinished_but_committed()
    assert stack.count() == 0


def test_dependencies_absent_at_start_are_waited_for_visibly(stack: Stack) -> None:
    """The log says what is missing; the process lives, answers NOT_SERVING and stops when told."""
    absent = "127.0.0.1:1"
    with stack.run("stream", TIDEMILL_POSTGRES=f"postgresql://nobody@{absent}/none") as worker:
        assert_waits(worker, "waiting for postgres")
    with stack.run("stream", TIDEMILL_KAFKA=absent) as worker:
        assert_waits(worker, "waiting for kafka")
    with stack.run("stream", TIDEMILL_REDIS=f"redis://{absent}/0") as worker:
        assert_waits(worker, "waiting for redis")


def assert_waits(worker: Process, said: str) -> None:
    wait_until(lambda: said in worker.said(), said)
    assert worker.popen.poll() is None
    assert not worker.serving()
    assert worker.terminate() == 0
