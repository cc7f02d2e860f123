"""All fronts, as the process with the device has them: told what is live, asked what they have done."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import astuple
from itertools import count
from weakref import WeakKeyDictionary

from protos import inference_pb2 as oip
from services.inference.engine import Engine
from services.inference.fronts.link import Link
from services.inference.registry import Registry
from services.inference.served import Served
from services.inference.servicer import Servicer
from services.inference.statistics import Record, tell

log = logging.getLogger(__name__)

CONFIRM = 30.0  # seconds for a front to say that its callers see a new state; it may be only starting
COUNTED = 2.0  # seconds for it to say what it has done


class Hall:
    """Fronts come and go. What is live is told to all that are here, and to each that comes."""

    def __init__(self, registry: Registry, engine: Engine, servicer: Servicer) -> None:
        """servicer: answers what is asked of the service as a whole."""
        self._registry, self._engine, self._servicer = registry, engine, servicer
        self._links: set[Link] = set()
        self._serving: list[str] = []
        self._gone: dict[tuple[str, str], Record] = {}  # what fronts that are gone had done
        self._numbers: WeakKeyDictionary[Served, int] = WeakKeyDictionary()  # by which fronts know versions
        self._versions, self._states, self._counts = count(1), count(1), count(1)

    def link(self, kill: Callable[[], None]) -> Link:
        """For a front that is to come."""
        return Link(self._engine, self._consult, kill)

    def enter(self, link: Link) -> None:
        """Its front is connected. When it is not any more, it has left."""
        self._links.add(link)
        link.pipe.closed.add_done_callback(lambda _: self._leave(link))
        link.tell(*self._state())

    def _leave(self, link: Link) -> None:
        self._links.discard(link)
        link.close()
        _include(self._gone, link.tally)

    async def publish(self, model: str) -> None:
        """Returns when callers of all fronts are answered by the versions that are live, and are told that this model ("": each) serves."""
        await self._tell_all()
        if model not in self._serving:
            self._serving.append(model)
            await self._tell_all()

    async def _tell_all(self) -> None:
        """A front that hangs must not hold up what is live: it is ended, and the next one begins with it."""
        state = self._state()
        told = {link.tell(*state): link for link in self._links}
        for link in await _wait(told, CONFIRM):
            log.error("a front did not take in what is live within %.0f s; it is ended", CONFIRM)
            link.kill()

    def _state(self) -> tuple[int, bytes, dict[int, Served]]:
        """(number, what fronts are told, the versions by number)."""
        versions: dict[int, Served] = {}
        models: dict[str, list[dict[str, object]]] = {}
        for name, entry in self._registry.models.items():
            for served in entry.versions:
                number = self._numbers.get(served) or self._numbers.setdefault(served, next(self._versions))
                versions[number] = served
                models.setdefault(name, []).append(_describe(served, number))
        state = {"models": models, "ready": self._registry.ready, "serving": self._serving}
        return next(self._states), json.dumps(state).encode(), versions

    async def _consult(self, body: bytes) -> bytes:
        """body: a method's name, a zero byte, its request."""
        method, _, request = body.partition(b"\0")
        if method == b"RepositoryIndex":
            index = oip.RepositoryIndexRequest.FromString(request)
            return (await self._servicer.RepositoryIndex(index, None)).SerializeToString()
        return (await self._sum_up(oip.ModelStatisticsRequest.FromString(request))).SerializeToString()

    async def _sum_up(self, request: oip.ModelStatisticsRequest) -> oip.ModelStatisticsResponse:
        """Passes are counted here, calls where they came in."""
        number = next(self._counts)
        await _wait({link.count(number): link for link in self._links}, COUNTED)
        records: dict[tuple[str, str], Record] = {}
        everything = oip.ModelStatisticsRequest()
        for each in (self._registry.records, self._gone):
            _include(records, tell(each, everything))
        for link in self._links:
            _include(records, link.tally)
        return tell(records, request)


async def _wait(told: "dict[asyncio.Future[None], Link]", seconds: float) -> Iterable[Link]:
    """Those that have not confirmed within this time."""
    if not told:
        return ()
    _, late = await asyncio.wait(told, timeout=seconds)
    return [told[each] for each in late]


def _include(records: dict[tuple[str, str], Record], told: oip.ModelStatisticsResponse) -> None:
    for each in told.model_stats:
        records.setdefault((each.name, each.version), Record()).include(each)


def _describe(served: Served, number: int) -> dict[str, object]:
    specs = {side: [astuple(each) for each in getattr(served, side)] for side in ("inputs", "outputs")}
    return {
        "number": number,
        "name": served.name,
        "version": served.version,
        "platform": served.platform,
        "card": served.card,
        **specs,
    }
