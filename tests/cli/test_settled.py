"""What became of a sending, counted from the stored truth."""

from datetime import UTC, datetime

import pytest

from protos import event_pb2, intent_pb2
from services.cli.problem import Problem
from services.cli.sending.settled import await_settled
from shared.event import Key
from shared.settings import Settings
from shared.store.outcome import Again, Outcome
from shared.store.postgres import Store


def outcome(number, reason=None, digest=b"d"):
    """A stored outcome of event `number`, which arrived at offset `number`."""
    body = event_pb2.DeadLetter(reason=reason) if reason else intent_pb2.IntentResult(intent="a")
    now = datetime.now(UTC)
    kind = "dead_letter" if reason else "result"
    return Outcome(
        Key("intent", "s", str(number)), digest * 32, kind, body.SerializeToString(), "kafka", place(number), now, now,
        reason=reason,
    )  # fmt: skip


def place(number):
    return f"intent.requests.v1:0:{number}"


async def test_every_way_to_end_is_counted_by_itself(postgres):
    """A result, a dead letter by its reason, a repeat, a reused id, and one that has no outcome yet."""
    store = await Store.open(Settings(postgres=postgres))
    await store.write([outcome(1), outcome(2, "TEXT_EMPTY")])
    again = [Again(Key("intent", "s", "1"), digest * 32, place(n)) for n, digest in ((3, b"d"), (4, b"x"))]
    await store.write([], again)
    await store.close()
    names = {1: "1", 2: "2", 3: "1", 4: "1", 5: "5"}
    told = []
    places = {place(number): Key("intent", "s", name) for number, name in names.items()}
    tally = await await_settled(postgres, places, 0, told.append)
    assert (tally.results, tally.repeats, tally.pending) == (1, 1, 1)
    assert dict(tally.dead_letters) == {"TEXT_EMPTY": 1, "ID_REUSED": 1}
    assert told


async def test_without_postgres_the_person_is_told():
    """The message says what cannot be asked, and which command shows why."""
    with pytest.raises(Problem, match=r"what became of the events: postgres is unavailable.*tidemill status"):
        await await_settled("postgresql://tidemill@127.0.0.1:1/tidemill", {place(1): Key("intent", "s", "1")}, 1)
