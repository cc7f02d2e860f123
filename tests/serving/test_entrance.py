"""How the messages of streams come in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.serve.service import Service
from shared.serve.tally import Tally
from shared.settings import Settings
from tests.echo import echo
from tests.fakes import FakeStore, means
from tests.serving.client import call


class Context:
    """A caller who is patient and says nothing of itself."""

    def time_remaining(self) -> None:
        return None

    def invocation_metadata(self) -> tuple[()]:
        return ()


class Forgetting:
    """Where settled events would be published from."""

    def add(self, settled: Any) -> None:
        list(settled)


async def one(name: str) -> AsyncIterator[bytes]:
    yield call("hello", name).SerializeToString()


async def test_of_all_streams_one_message_is_decoded_before_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many streams wait: decoded and encoded again, a large message takes three times its bytes."""
    service, decoded = Service(echo("intent"), Settings()), 0
    service.open(means(FakeStore()), Tally("intent", "test", None), Forgetting())  # type: ignore[arg-type]
    parse, room = service._parse, service._custody._room

    def count(*arguments: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return parse(*arguments)

    monkeypatch.setattr(service, "_parse", count)
    assert room.take(1, room.most[1])

    async def answers(name: str) -> list[str]:
        return [reply.result.intent async for reply in service._stream(one(name), Context())]  # type: ignore[attr-defined]

    streams = [asyncio.ensure_future(answers(str(n))) for n in range(5)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert decoded == 1
    room.give(1, room.most[1])
    assert await asyncio.wait_for(asyncio.gather(*streams), 10) == [["hello"]] * 5
