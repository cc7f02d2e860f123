"""What events come to: the same, whether the store is the fake one or Postgres."""

from dataclasses import replace
from typing import Any

from shared.settlement.settlement import Sink, settle
from shared.store.outcome import Settled
from tests.echo import answer
from tests.fakes import FakeStore, arrival, handling, means
from tests.settlement.outcomes import ECHO, letter, result


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


async def test_the_request_is_kept_as_the_domain_says() -> None:
    """`keep` decides what stays beside the outcome; a bug in it costs neither the batch nor the refusal."""
    store = FakeStore()
    await settle(replace(ECHO, keep=lambda request: b"kept"), [arrival("a", "1"), arrival("reject", "2")], means(store))
    assert {outcome.request for outcome in store.rows.values()} == {b"kept"}

    def broken(request: Any) -> bytes:
        raise KeyError(request)

    [settled] = await settle(replace(ECHO, keep=broken), [arrival("a", "3")], means(store))
    assert letter(settled).reason == "HANDLER_FAILED"
