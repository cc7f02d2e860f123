"""What Redis holds: projections of the truth, each with a bound. Losing all of it loses nothing; `rebuild` brings it back.

tidemill:outcome:<prediction id>   the outcome of one event, for a day
tidemill:feed:<domain>             the last outcomes in few words, for people who watch
tidemill:issuer:<issuer>           an issuer's windows as of a few seconds ago
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from google.protobuf.message import Message
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.domain import Domain
from shared.errors import Unavailable
from shared.event import Key
from shared.settings import Settings
from shared.store import tables
from shared.store.feed import line
from shared.store.outcome import Outcome, Settled

KEPT = timedelta(hours=24)  # an outcome
FEED_BATCHES, FEED_LINES = 200, 64  # entries of a domain's feed (about), lines of each: some 4 MB a domain
WINDOW_SECONDS = 10  # an issuer's windows; a new outcome that names the issuer drops them at once


class Projection:
    """Every method raises `Unavailable("redis")` when Redis cannot be reached; doing it again is always safe."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Connects when first used: Redis is not needed for anything to be true."""
        retry = Retry(NoBackoff(), 1)  # a connection that Redis closed meanwhile; real waiting is the caller's
        return cls(Redis.from_url(settings.redis, protocol=2, socket_timeout=5, socket_connect_timeout=5, retry=retry))

    async def close(self) -> None:
        await self.redis.aclose()

    async def ping(self) -> None:
        with _reaching_redis():
            await self.redis.ping()

    async def write(self, domain: Domain, settled: Sequence[Settled]) -> None:
        """Projects what arrivals came to, in one round trip. Projecting an outcome again changes nothing but its place in the feed."""
        outcomes = [each.outcome for each in settled if not each.reused]
        arrived = [each.outcome for each in settled if not each.reused and each.place in ("", each.outcome.place)]
        await self.project(domain.name, domain.result, [(outcome, KEPT) for outcome in outcomes], arrived)

    async def project(
        self,
        domain: str,
        result: type[Message],
        outcomes: Iterable[tuple[Outcome, timedelta]],
        fed: Sequence[Outcome],
    ) -> None:
        """Keeps each outcome for its time, and adds those of `fed` (the last ones, of very many) to the domain's feed."""
        pipeline = self.redis.pipeline(transaction=False)
        issuers: set[str] = set()
        for outcome, kept in outcomes:
            pipeline.set(_outcome_key(outcome.key), _pack(outcome), px=max(1, int(kept.total_seconds() * 1000)))
            issuers.update(row["issuer"] for table, row in outcome.facts if table is tables.issuer_risks)
        if fed:
            shown = [line(outcome, result) for outcome in fed[-FEED_LINES:]]
            lines = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
            pipeline.xadd(feed_key(domain), {"lines": lines}, maxlen=FEED_BATCHES, approximate=True)
        if issuers:
            pipeline.delete(*map(_issuer_key, issuers))
        with _reaching_redis():
            await pipeline.execute()

    async def find(self, keys: Iterable[Key]) -> dict[Key, Outcome]:
        """Those of `keys` that are still projected; for the others, ask the store."""
        wanted = list(keys)
        if not wanted:
            return {}
        with _reaching_redis():
            values: list[Any] = await self.redis.mget(map(_outcome_key, wanted))
        return {key: _unpack(key, value) for key, value in zip(wanted, values, strict=True) if value is not None}

    async def feed(self, domain: str, *, after: str = "0", wait: float = 0) -> tuple[str, list[dict[str, Any]]]:
        """Lines of the live feed (see `feed.line`), oldest first, and where to go on.

        Args:
            after: the place that the last call returned; "0": from the oldest, "$": only what comes from now on.
            wait: seconds to wait for the first new one.
        """
        block = int(wait * 1000) or None  # less than the socket's time limit
        with _reaching_redis():
            found: Any = await self.redis.xread({feed_key(domain): after}, block=block)
        entries = found[0][1] if found else []
        lines = [each for _, fields in entries for each in json.loads(fields[b"lines"])]
        return (entries[-1][0].decode() if entries else after), lines

    async def drop_feed(self, domain: str) -> None:
        with _reaching_redis():
            await self.redis.delete(feed_key(domain))

    async def windows(self, issuers: Sequence[str]) -> dict[str, bytes]:
        """The cached windows of those issuers that have some."""
        with _reaching_redis():
            values: list[Any] = await self.redis.mget(map(_issuer_key, issuers))
        return {issuer: value for issuer, value in zip(issuers, values, strict=True) if value is not None}

    async def keep_windows(self, windows: dict[str, bytes]) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for issuer, value in windows.items():
            pipeline.set(_issuer_key(issuer), value, ex=WINDOW_SECONDS)
        with _reaching_redis():
            await pipeline.execute()


@contextmanager
def _reaching_redis() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable("redis", " ".join(str(error).split())[:200] or type(error).__name__) from error


def feed_key(domain: str) -> str:
    return f"tidemill:feed:{domain}"


def _outcome_key(key: Key) -> str:
    return f"tidemill:outcome:{key.prediction_id}"


def _issuer_key(issuer: str) -> str:
    return f"tidemill:issuer:{issuer}"


def _pack(outcome: Outcome) -> bytes:
    """A line of JSON, then the body as it is."""
    head = (
        outcome.digest.hex(), outcome.kind, outcome.door, outcome.place, outcome.event_time.timestamp(),
        outcome.arrived_at.timestamp(), outcome.reason, outcome.model_version, outcome.caller, outcome.subject, outcome.trace_id,
    )  # fmt: skip
    return json.dumps(head).encode() + b"\n" + outcome.body


def _unpack(key: Key, value: bytes) -> Outcome:
    head, _, body = value.partition(b"\n")
    digest, kind, door, place, event_time, arrived_at, reason, model_version, caller, subject, trace_id = json.loads(
        head
    )
    return Outcome(
        key, bytes.fromhex(digest), kind, body, door, place, _moment(event_time), _moment(arrived_at), reason=reason,
        model_version=model_version, caller=caller, subject=subject, trace_id=trace_id,
    )  # fmt: skip


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
