"""Sharing transactions without a timer: while some run, what arrives piles up and is the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.event import Key
from shared.settlement.settlement import Sink
from shared.store.outcome import Again, Outcome, Settled
from shared.store.postgres import Unstorable

Q = TypeVar("Q")
A = TypeVar("A")


class Pile(Generic[Q, A]):
    """`await pile(question)`: answered together with what else was asked while earlier rounds ran.

    Args:
        answer: answers a round, one answer (or exception) for each question, in order; what it raises, all askers of the round get.
        lanes: rounds at the same time.
        most: questions in a round.
    """

    def __init__(
        self, answer: Callable[[list[Q]], Awaitable[Sequence[A | Exception]]], lanes: int = 2, most: int = 256
    ) -> None:
        self._answer = answer
        self._free = lanes
        self._most = most
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._rounds: set[asyncio.Task[None]] = set()

    async def __call__(self, question: Q) -> A:
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            task = asyncio.ensure_future(self._round())
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)

    async def _round(self) -> None:
        await asyncio.sleep(0)  # whoever asks in this turn of the loop comes along
        asked, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            answers = await self._answer([question for question, _ in asked]) if asked else []
            for (_, future), answer in zip(asked, answers, strict=True):
                _resolve(future, answer)
        except Exception as error:  # belongs to the askers, whatever it is
            for _, future in asked:
                _resolve(future, error)
        finally:
            for _, future in asked:
                future.cancel()  # those without an answer: the round was cancelled, and nobody may wait for ever
            self._free += 1
            self._begin()


def _resolve(future: "asyncio.Future[A]", answer: A | Exception) -> None:
    if future.done():  # its asker has gone
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


_Write = tuple[Sequence[Outcome], Sequence[Again], bool]


class PiledStore:
    """A store whose concurrent calls share transactions; each caller sees only its own answer or fault."""

    def __init__(self, store: Sink, lanes: int = 2) -> None:
        self._store = store
        self._find: Pile[Sequence[Key], dict[Key, Outcome]] = Pile(self._find_all, lanes)
        self._write: Pile[_Write, dict[str, Settled]] = Pile(self._write_all, lanes)

    async def find(self, keys: Sequence[Key]) -> dict[Key, Outcome]:
        return await self._find(keys)

    async def write(
        self, fresh: Sequence[Outcome], again: Sequence[Again], *, outbox: bool = False
    ) -> dict[str, Settled]:
        return await self._write((fresh, again, outbox))

    async def _find_all(self, asked: list[Sequence[Key]]) -> list[dict[Key, Outcome]]:
        found = await self._store.find(list({key for keys in asked for key in keys}))
        return [found] * len(asked)

    async def _write_all(self, asked: list[_Write]) -> list[dict[str, Settled] | Exception]:
        fresh = [outcome for each in asked for outcome in each[0]]
        again = [arrival for each in asked for arrival in each[1]]
        try:
            places = await self._store.write(fresh, again, outbox=any(each[2] for each in asked))
            return [places] * len(asked)
        except Unstorable:
            return [await self._write_one(*each) for each in asked]

    async def _write_one(
        self, fresh: Sequence[Outcome], again: Sequence[Again], outbox: bool
    ) -> dict[str, Settled] | Exception:
        try:
            return await self._store.write(fresh, again, outbox=outbox)
        except Unstorable as fault:
            return fault
