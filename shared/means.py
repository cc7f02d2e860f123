"""Opening what a domain's process works with, waiting visibly for each part that is not there yet."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from shared.domain import Domain
from shared.inference.contract import Infer, Inference, Value
from shared.patience import persist
from shared.settings import Settings
from shared.settlement.settlement import Means
from shared.store.postgres import Store
from shared.store.redis import Projection
from shared.topic.publisher import Publisher


@dataclass(frozen=True, slots=True)
class Ready:
    means: Means
    store: Store
    publisher: Publisher


async def open_means(domain: Domain, settings: Settings, stack: AsyncExitStack, *, outbox: bool = False) -> Ready:
    """Waits however long until Postgres, Redis and Kafka with the domain's topics are there. `stack` closes what was opened.

    The inference service is not waited for: calls say that it is away, and the stream's first batch waits for it in place.
    """
    store = await Store.open(settings)
    stack.push_async_callback(store.close)
    projection = Projection.open(settings)
    stack.push_async_callback(projection.close)
    await persist(projection.ping)
    publisher = Publisher(settings.kafka, f"{domain.name}-{settings.instance}")
    stack.push_async_callback(publisher.stop)
    await persist(lambda: publisher.find_topics(domain.requests, domain.results, domain.dead_letters))
    infer = await _infer(domain, settings, stack)
    lookups = await domain.open(settings) if domain.open is not None else None
    if lookups is not None and hasattr(lookups, "close"):
        stack.push_async_callback(lookups.close)
    means = Means(store=store, infer=infer, lookups=lookups, projection=projection, outbox=outbox)
    return Ready(means, store, publisher)


async def _infer(domain: Domain, settings: Settings, stack: AsyncExitStack) -> Infer:
    if not domain.infers:
        return _no_infer
    from shared.inference.client import open_infer

    infer = open_infer(settings)
    stack.push_async_callback(infer.close)
    return infer


async def _no_infer(model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = "") -> Inference:
    raise LookupError(f"this domain's wiring says that it never infers, yet its handler asked for model {model!r}")
