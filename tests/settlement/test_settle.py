"""What events come to: the same, whether the store is the fake one or Postgres."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from protos import event_pb2, intent_pb2
from shared.errors import Expired, Unavailable
from shared.settings import Settings
from shared.settlement.settlement import Sink, settle
from shared.store.outcome import Settled
from shared.store.postgres import Store
from tests.echo import answer, echo, handle
from tests.fakes import FakeStore, arrival, handling, means

ECHO = echo("intent")


@pytest.fixture(params=["fake", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    if request.param == "fake":
        yield FakeStore()
        return
    real = await Store.open(Settings(postgres=request.getfixturevalue("postgres")))
    yield real
    await real.close()


def letter(settled: Any) -> event_pb2.DeadLetter:
    assert isinstance(settled, Settled)
    assert settled.outcome.kind == "dead_letter"
    return event_pb2.DeadLetter.FromString(settled.outcome.body)


def result(settled: Any) -> intent_pb2.IntentResult:
    assert isinstance(settled, Settled)
    assert settled.outcome.kind == "result"
    return intent_pb2.IntentResult.FromString(settled.outcome.body)


async def test_each_arrival_gets_its_own_answer_in_order(store: Sink) -> None:
    """A batch's answers stand in the order of its arrivals, whatever becomes of each."""
    texts = ["a", "reject", "b", "", "c"]
    settled = await settle(ECHO, [arrival(text, str(i)) for i, text in enumerate(texts)], means(store))
    assert [s.outcome.key.id for s in settled if isinstance(s, Settled)] == ["0", "1", "2", "3", "4"]
    assert [result(settled[i]).intent for i in (0, 2, 4)] == ["a", "b", "c"]
    assert [letter(settled[i]).reason for i in (1, 3)] == ["TEXT_REFUSED", "TEXT_EMPTY"]
    assert letter(settled[1]).field == "text"


async def test_the_answer_names_its_event(store: Sink) -> None:
    """Settlement completes what a handler need not know: event, prediction id, time and trace."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = (("traceparent", f"00-{trace}-b7ad6b7169203331-01".encode()),)
    [settled] = await settle(ECHO, [arrival("hello", headers=headers)], means(store))
    said = result(settled).answer
    assert (said.event.source, said.event.id, said.event.caller) == ("shop", "1", "anonymous")
    assert said.prediction_id == arrival("").key.prediction_id
    assert said.trace_id == trace
    assert said.HasField("answered_at")


async def test_the_same_key_twice_in_a_batch_is_handled_once(store: Sink) -> None:
    """The second arrival is known; only the first was worked on."""
    handled = []

    async def count(request: Any, tools: Any) -> Any:
        handled.append(tools.key.id)
        return answer(request.text)

    batch = [arrival("a", "1", "t:0:1"), arrival("b", "2", "t:0:2"), arrival("a", "1", "t:0:3")]
    settled = await settle(handling(ECHO, count), batch, means(store))
    assert handled == ["1", "2"]
    assert [s.known for s in settled if isinstance(s, Settled)] == [False, False, True]
    assert result(settled[0]) == result(settled[2])


async def test_a_reused_key_is_refused_within_a_batch_and_after_it(store: Sink) -> None:
    """Another payload under the same key never gets an outcome."""
    first, second = await settle(ECHO, [arrival("a", place="t:0:1"), arrival("b", place="t:0:2")], means(store))
    [third] = await settle(ECHO, [arrival("c", place="t:0:3")], means(store))
    assert isinstance(first, Settled)
    assert not first.reused
    assert all(isinstance(s, Settled) and s.reused for s in (second, third))


async def test_a_redelivery_gives_the_stored_outcome(store: Sink) -> None:
    """The same arrival again, after a crash, is neither worked on nor answered anew."""
    [first] = await settle(ECHO, [arrival("a")], means(store))

    async def forbidden(request: Any, tools: Any) -> Any:
        raise AssertionError("handled again")

    [again] = await settle(handling(ECHO, forbidden), [arrival("a")], means(store))
    assert isinstance(again, Settled)
    assert again.known
    assert result(again) == result(first)


async def test_json_and_protobuf_are_the_same_payload(store: Sink) -> None:
    """The digest is of what was said, not of how it was written."""
    await settle(ECHO, [arrival("a", place="t:0:1")], means(store))
    as_json = arrival(b'{"text": "a"}', place="t:0:2", content_type="application/json; charset=utf-8")
    [again] = await settle(ECHO, [as_json], means(store))
    assert isinstance(again, Settled)
    assert again.known


BAD = {
    "PAYLOAD_NOT_PROTOBUF": (b"\xff\xff\xff", "application/protobuf"),
    "PAYLOAD_NOT_JSON": (b'{"text": 7}', "application/json"),
    "PAYLOAD_NOT_UTF8": (b'{"text": "\xff"}', "application/json"),
    "CONTENT_TYPE_UNKNOWN": (b"a,b", "text/csv"),
    "PAYLOAD_TOO_LARGE": (b"\x0a" + b"\0" * (16 * 1024 * 1024), "application/protobuf"),
}


@pytest.mark.parametrize("reason", BAD)
async def test_bad_bytes_cost_their_own_event_alone(store: Sink, reason: str) -> None:
    """Undecodable, mistyped, unknown or oversize: a stable code, and the neighbours are answered."""
    payload, content_type = BAD[reason]
    batch = [arrival("a", "1"), arrival(payload, "2", content_type=content_type), arrival("b", "3")]
    before, bad, after = await settle(ECHO, batch, means(store))
    assert letter(bad).reason == reason
    assert [result(before).intent, result(after).intent] == ["a", "b"]


@pytest.mark.parametrize(
    "text", [b'{"txet": "a"}', b'{"text": {"a": 1}}', b'{"text": ["a"]}', b"[1]", b'"a"', b"{", b"[" * 5000]
)
async def test_wrong_json_is_named(text: bytes) -> None:
    """Unknown and mistyped fields, other shapes and bottomless nesting are refused, not guessed at."""
    [settled] = await settle(ECHO, [arrival(text, content_type="application/json")], means(FakeStore()))
    assert letter(settled).reason == "PAYLOAD_NOT_JSON"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"text": {"4111": 1}}', "the value of the text field is of another kind"),
        (b'{"txet": "4111"}', "IntentRequest has no field named 'txet'"),
        (b'{"My card 4111": 1}', "it does not fit the message"),
        (b'["My card 4111"]', "it must be a JSON object"),
        (b'{"text": 4111', "it is not JSON at line 1 column 14"),
        (b'{"text": "4111", "text": "4111"}', "a key stands twice"),
    ],
)
async def test_wrong_json_is_explained_without_its_words(text: bytes, said: str) -> None:
    """The dead letter names the field or the place; a customer's words stay in the payload."""
    [settled] = await settle(ECHO, [arrival(text, content_type="application/json")], means(FakeStore()))
    assert letter(settled).detail == f"the payload is not a tidemill.intent.v1.IntentRequest in JSON: {said}"


async def test_a_bug_in_the_handler_costs_one_event(store: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """After three attempts that event alone is a dead letter, and nobody repeats the exception's text."""
    with caplog.at_level(logging.DEBUG):
        batch = [arrival("a", "1"), arrival("bug 4111 1111", "2"), arrival("b", "3")]
        before, bad, after = await settle(ECHO, batch, means(store))
    assert (letter(bad).reason, letter(bad).attempts) == ("HANDLER_FAILED", 3)
    assert "ValueError" in letter(bad).detail
    assert "4111" not in letter(bad).detail + caplog.text
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_a_bug_that_passes_costs_nothing() -> None:
    """A handler that fails twice and then answers has answered."""
    failures = iter([ValueError(), KeyError()])

    async def flaky(request: Any, tools: Any) -> Any:
        for failure in failures:
            raise failure
        return answer(request.text)

    [settled] = await settle(handling(ECHO, flaky), [arrival("a")], means(FakeStore()))
    assert result(settled).intent == "a"


async def test_a_stray_cancellation_is_a_bug_like_any_other() -> None:
    """A handler that raises CancelledError itself must not make its batch look given up."""

    async def stray(request: Any, tools: Any) -> Any:
        if request.text == "stray":
            raise asyncio.CancelledError
        return answer(request.text)

    bad, fine = await settle(handling(ECHO, stray), [arrival("stray", "1"), arrival("a", "2")], means(FakeStore()))
    assert letter(bad).reason == "HANDLER_FAILED"
    assert result(fine).intent == "a"


async def test_a_handler_that_hangs_costs_one_event() -> None:
    """Once nothing else of the batch moves, it is stopped, and dead-lettered after three such attempts."""
    before, bad, after = await settle(
        ECHO, [arrival("a", "1"), arrival("hang", "2"), arrival("b", "3")], means(FakeStore()), hang=0.2
    )
    assert (letter(bad).reason, letter(bad).attempts) == ("HANDLER_FAILED", 3)
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_slow_is_not_hung() -> None:
    """While others of the batch still move, a slow handler is given its time."""
    texts = [f"slow {n / 10}" for n in range(1, 9)]
    settled = await settle(ECHO, [arrival(text, text) for text in texts], means(FakeStore()), hang=0.3)
    assert [result(each).intent for each in settled] == texts


async def test_what_the_store_refuses_costs_one_event(store: Sink) -> None:
    """A result that cannot be stored becomes a dead letter that can."""
    batch = [arrival("a", "1"), arrival("unstorable", "2"), arrival("b", "3")]
    before, bad, after = await settle(ECHO, batch, means(store))
    assert letter(bad).reason == "HANDLER_FAILED"
    assert [result(before).intent, result(after).intent] == ["a", "b"]


async def test_a_missing_dependency_is_waited_for_in_place() -> None:
    """However often it is down: no event is dead-lettered, and every try beats."""
    tries = []

    async def down_at_first(request: Any, tools: Any) -> Any:
        tries.append(1)
        if len(tries) < 6:
            raise Unavailable("inference", retry_after=0.01)
        return answer(request.text)

    beats: list[int] = []
    store = FakeStore()
    store.broken = 2
    [settled] = await settle(handling(ECHO, down_at_first), [arrival("a")], means(store, beat=lambda: beats.append(1)))
    assert result(settled).intent == "a"
    assert len(tries) == 6
    assert len(beats) > 6


async def test_a_call_hears_of_a_missing_dependency_by_its_deadline(store: Sink) -> None:
    """Within the deadline we try again; then the caller is told, and nothing is stored."""
    soon = asyncio.get_running_loop().time() + 0.5
    [settled] = await settle(ECHO, [arrival("down", deadline=soon)], means(store))
    assert isinstance(settled, Unavailable)
    assert await store.find([arrival("down").key]) == {}


async def test_a_call_hears_of_a_missing_store_by_its_deadline() -> None:
    """Also when it is the store itself that is down."""
    store = FakeStore()
    store.broken = 1000
    soon = asyncio.get_running_loop().time() + 0.5
    [settled] = await settle(ECHO, [arrival("a", deadline=soon)], means(store))
    assert isinstance(settled, Unavailable)


async def test_an_expired_call_leaves_nothing_behind(store: Sink) -> None:
    """The expired event of a batch has no outcome; its neighbour has one, and the key can be used again."""
    soon = asyncio.get_running_loop().time() + 0.3
    later = asyncio.get_running_loop().time() + 30
    expired, fine = await settle(
        ECHO, [arrival("slow 9", "1", deadline=soon), arrival("a", "2", deadline=later)], means(store)
    )
    assert isinstance(expired, Expired)
    assert result(fine).intent == "a"
    [again] = await settle(ECHO, [arrival("b", "1", deadline=later)], means(store))
    assert result(again).intent == "b"


async def test_the_request_is_kept_as_the_domain_says() -> None:
    """`keep` decides what stays beside the outcome; a bug in it costs neither the batch nor the refusal."""
    store = FakeStore()
    await settle(replace(ECHO, keep=lambda request: b"kept"), [arrival("a", "1"), arrival("reject", "2")], means(store))
    assert {outcome.request for outcome in store.rows.values()} == {b"kept"}

    def broken(request: Any) -> bytes:
        raise KeyError(request)

    [settled] = await settle(replace(ECHO, keep=broken), [arrival("a", "3")], means(store))
    assert letter(settled).reason == "HANDLER_FAILED"


async def test_giving_up_a_batch_stops_its_handlers() -> None:
    """A cancelled settlement leaves no handler running and nothing stored."""
    stopped = asyncio.Event()

    async def wait(request: Any, tools: Any) -> Any:
        try:
            return await handle(request, tools)
        finally:
            stopped.set()

    store = FakeStore()
    task = asyncio.ensure_future(settle(handling(ECHO, wait), [arrival("hang")], means(store)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(stopped.wait(), 5)
    assert store.rows == {}
