"""The streamed door, as a process on real servers."""

from protos import intent_pb2
from tests.stack import Stack, headers, request


def test_an_event_becomes_a_published_result(stack: Stack) -> None:
    """One record in, its result out, with headers that tie the two together."""
    with stack.run("stream") as worker:
        stack.send([(b"c1", request("hello"), headers("1", ce_subject=b"c1"))])
        worker.await_serving()
        [record] = stack.read("results", 1)
    result = intent_pb2.IntentResult.FromString(record.value)
    told = dict(record.headers)
    assert (result.intent, result.answer.event.id, record.key) == ("hello", "1", b"c1")
    assert (told["ce_eventid"], told["ce_id"].decode()) == (b"1", result.answer.prediction_id)
