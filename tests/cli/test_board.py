"""The live view shows what is stored and fed, and says what it cannot read."""

import asyncio
import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from protos import event_pb2, intent_pb2
from services.cli import topics
from services.cli.board.board import Board
from services.cli.board.view import View, described, plain
from services.cli.stack import Stack
from shared.event import Key
from shared.settings import Settings
from shared.store.outcome import Outcome
from shared.store.postgres import Store
from shared.store.redis import KEPT, Projection


@pytest.fixture
def stack(kafka, postgres, redis, tmp_path):
    """A stack of the three servers alone, with its topics."""
    values = {"TIDEMILL_KAFKA": kafka.bootstrap, "TIDEMILL_POSTGRES": postgres, "TIDEMILL_REDIS": redis}
    topics.provision(Settings(kafka=kafka.bootstrap), topics.topics())
    return Stack(tmp_path, values)


def outcomes():
    """One result and one dead letter, arrived two seconds ago."""
    arrived = datetime.now(UTC) - timedelta(seconds=2)
    result = intent_pb2.IntentResult(
        answer=event_pb2.Answer(why="most like card_lost 93%"), intent="card_lost", confidence=0.93
    )
    letter = event_pb2.DeadLetter(reason="TEXT_EMPTY", detail="text must hold at least one visible character")
    for message, moment in ((result.answer, "answered_at"), (letter, "failed_at")):
        getattr(message, moment).FromDatetime(arrived)
    common = {"door": "kafka", "event_time": arrived, "arrived_at": arrived, "digest": b"d" * 32}
    return [
        Outcome(Key("intent", "s", "1"), kind="result", body=result.SerializeToString(), place="t:0:0", **common),
        Outcome(
            Key("intent", "s", "2"), kind="dead_letter", body=letter.SerializeToString(), place="t:0:1",
            reason="TEXT_EMPTY", **common,
        ),
    ]  # fmt: skip


async def store(stack, rows):
    """Stores and projects them, as a worker would."""
    opened = await Store.open(stack.settings)
    await opened.write(rows)
    await opened.close()
    projection = Projection.open(stack.settings)
    await projection.project("intent", intent_pb2.IntentResult, [(row, KEPT) for row in rows], rows)
    await projection.close()


async def kept_until(board, true):
    """Lets the board read until something is true of it."""
    async with asyncio.timeout(60):
        keeping = asyncio.ensure_future(board.keep())
        try:
            while not true():
                assert not keeping.done()
                await asyncio.sleep(0.1)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


async def test_what_was_stored_is_on_the_board(stack):
    """Counts, latency and the latest decisions come from Postgres, Kafka and the feed, on screen and as plain lines."""
    await store(stack, outcomes())
    board = Board(stack)
    await kept_until(board, lambda: board.pulses and len(board.lines) == 2)
    assert (board.counts["intent"].results, board.counts["intent"].dead_letters) == (1, 1)
    assert board.pulses["intent"].p50 >= 2
    assert [described(line)[2:4] for line in board.lines] == [("card_lost", "93%"), ("TEXT_EMPTY", "")]
    (drawn := Console(file=io.StringIO(), width=160, height=40)).print(View(board))
    screen = drawn.file.getvalue()
    assert "most like card_lost 93%" in screen
    assert "latest dead letters" in screen
    assert any(line.split(" ", 1)[1].startswith("intent: 0.1/s, p50 2,") for line in plain(board))


async def test_what_is_down_is_said_and_the_rest_goes_on(stack):
    """Without Redis the counts are shown all the same, with a word on what cannot be read."""
    broken = Stack(stack.data, {**stack.values, "TIDEMILL_REDIS": "redis://127.0.0.1:1/0"})
    board = Board(broken)
    await kept_until(board, lambda: board.counts and board.trouble)
    assert "redis is unavailable" in board.trouble["feed"]
    assert board.counts["intent"].results == 0
    assert any("cannot read: redis is unavailable" in line for line in plain(board))
