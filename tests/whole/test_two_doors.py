"""One key, two doors: the same event by Kafka and by gRPC has one outcome and one answer."""

import asyncio

import grpc
import pytest

from bench import evidence
from bench.check import Published
from bench.local import Local
from protos import event_pb2, intent_pb2
from shared.event import Key
from tests.whole.sending import Event, call, new_source, outcomes, put, until

TIMES = 500


def request(number: int) -> intent_pb2.IntentRequest:
    return intent_pb2.IntentRequest(text=f"Where is parcel number {number}?", language="en")


async def ask_all(stack: Local, keys: list[Key]) -> list[intent_pb2.IntentReply]:
    """Calls in flight by the hundred, answers in the order of the keys."""
    gate = asyncio.Semaphore(100)
    async with grpc.aio.insecure_channel(stack.address("intent")) as channel:

        async def one(number: int, key: Key) -> intent_pb2.IntentReply:
            event = event_pb2.Event(source=key.source, id=key.id)
            async with gate:
                return await call(channel, "intent", intent_pb2.IntentCall(event=event, request=request(number)), 60)

        return list(await asyncio.gather(*(one(number, key) for number, key in enumerate(keys))))


@pytest.mark.parametrize("order", ["at once", "kafka first", "grpc first"])
async def test_the_same_event_through_both_doors(stack: Local, order: str) -> None:
    """One stored outcome each, and the caller is told exactly what is stored, whichever door came first."""
    source = new_source()
    keys = [Key("intent", source, f"e-{number}") for number in range(TIMES if order == "at once" else TIMES // 5)]
    events = [Event(key, request(number)) for number, key in enumerate(keys)]
    if order == "at once":
        replies, _ = await asyncio.gather(ask_all(stack, keys), put(stack, events))
    elif order == "kafka first":
        await put(stack, events)
        await outcomes(stack, keys)
        replies = await ask_all(stack, keys)
        assert all(reply.known for reply in replies)
    else:
        replies = await ask_all(stack, keys)
        await put(stack, events)
    rows = await outcomes(stack, keys)
    assert [reply.result.SerializeToString() for reply in replies] == [rows[key]["body"] for key in keys]
    assert {row["kind"] for row in rows.values()} == {"result"}
    counted = "SELECT count(*) AS rows, count(DISTINCT id) AS ids FROM outcomes WHERE source = $1"
    (count,) = await evidence.query(stack.address("postgres"), counted, source)
    assert (count["rows"], count["ids"]) == (len(keys), len(keys))


async def test_another_payload_under_the_id_is_refused_at_both_doors(stack: Local) -> None:
    """gRPC says ALREADY_EXISTS; on Kafka it is an incident and a dead letter; the first outcome stands and is not shown."""
    source = new_source()
    key = Key("intent", source, "same")
    other = Event(key, request(2))
    await put(stack, [Event(key, request(1))])
    first = (await outcomes(stack, [key]))[key]
    await put(stack, [other])
    async with grpc.aio.insecure_channel(stack.address("intent")) as channel:
        again = intent_pb2.IntentCall(event=event_pb2.Event(source=source, id="same"), request=request(3))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(channel, "intent", again)
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS

    async def noted() -> bool:
        return sum((await evidence.incidents(stack.address("postgres"), source)).values()) == 2

    await until(noted, "both refusals are on the books")
    letters = await until(lambda: letters_of(stack, source), "the refused record is a dead letter")
    assert [letter.reason for letter in letters] == ["ID_REUSED"]
    assert letters[0].value == other.bytes
    assert (await outcomes(stack, [key]))[key]["body"] == first["body"]


async def letters_of(stack: Local, source: str) -> list[Published]:
    found = await evidence.published(stack.address("kafka"), ["intent"], source)
    return [each for each in found if each.kind == "dead_letter"]
