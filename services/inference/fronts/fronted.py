"""A service whose calls come in at fronts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from services.inference.engine import Engine
from services.inference.fronts.hall import Hall
from services.inference.fronts.port import reserved
from services.inference.fronts.post import Post
from services.inference.listening import DRAIN
from services.inference.registry import Registry
from services.inference.servicer import Servicer
from shared.settings import Settings, write_environment

log = logging.getLogger(__name__)

LEAVE = DRAIN + 5.0  # seconds for a front to end in order


@asynccontextmanager
async def fronted(
    settings: Settings, fronts: int, registry: Registry, engine: Engine
) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """So many processes answer until the block ends, and then finish the calls in hand. Yields what is to be told of a model that is live.

    Raises:
        SystemExit: the address cannot be listened on.
    """
    hall = Hall(registry, engine, Servicer(registry, engine, settings))
    with reserved(settings.listen) as address:
        log.info("%d fronts share %s", fronts, address)
        theirs = settings.model_copy(update={"listen": address, "cache_bytes": settings.cache_bytes // fronts})
        posts = [Post(number, write_environment(theirs), hall) for number in range(1, fronts + 1)]
        keeping = [asyncio.ensure_future(post.keep()) for post in posts]
        try:
            yield hall.publish
        finally:
            for post in posts:
                post.leave()
            _, late = await asyncio.wait(keeping, timeout=LEAVE)
            for task in late:
                log.error("a front did not end within %.0f s; it is killed", LEAVE)
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
