"""What the live view knows, kept fresh in the background."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.cli import counts, state
from services.cli.board import pulse
from services.cli.board.pulse import Pulse
from services.cli.contract import contracts
from services.cli.counts import Counts
from services.cli.problem import Problem
from services.cli.stack import Stack
from shared.errors import Unavailable
from shared.store.engine import OUTAGES
from shared.store.redis import Projection

_KEPT = 50  # lines of the feed
_OFTEN, _SELDOM = 0.5, 2.0  # seconds between looks at the feed, and at what costs the servers something
_SHARE = 5  # counting much takes long: it rests this many times as long as it took


@dataclass(slots=True)
class Board:
    """Everything on screen. `trouble` says what cannot be read just now; what was read before stays."""

    stack: Stack
    counts: Mapping[str, Counts] = field(default_factory=dict)
    pulses: Mapping[str, Pulse] = field(default_factory=dict)
    lines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    letters: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    trouble: dict[str, str] = field(default_factory=dict)

    @property
    def domains(self) -> list[str]:
        return [*contracts(), "feedback"]

    @property
    def processes(self) -> Mapping[str, Any]:
        """As the local supervisor last wrote it; empty where there is none."""
        shown: Mapping[str, Any] = state.read(self.stack.data).get("processes", {})
        return shown

    async def keep(self) -> None:
        """Reads for ever."""
        await asyncio.gather(self._follow(), self._measure())

    async def measure(self) -> None:
        """Reads counts, lag and pulse once."""
        settings = self.stack.settings
        try:
            self.counts = await asyncio.to_thread(counts.count, settings)
            self.pulses = await pulse.take(settings.postgres, self.domains)
        except (Problem, *OUTAGES) as error:
            self.trouble["counts"] = str(error) or type(error).__name__
        else:
            self.trouble.pop("counts", None)

    async def _measure(self) -> None:
        while True:
            began = time.monotonic()
            await self.measure()
            await asyncio.sleep(max(_SELDOM, _SHARE * (time.monotonic() - began)))

    async def _follow(self) -> None:
        projection, places = Projection.open(self.stack.settings), dict.fromkeys(self.domains, "0")
        try:
            while True:
                try:
                    await self._read(projection, places)
                    self.trouble.pop("feed", None)
                except Unavailable as error:
                    self.trouble["feed"] = str(error)
                await asyncio.sleep(_OFTEN)
        finally:
            await projection.close()

    async def _read(self, projection: Projection, places: dict[str, str]) -> None:
        """Takes the new lines of every domain's feed, oldest first."""
        fresh: list[dict[str, Any]] = []
        for domain, after in places.items():
            places[domain], lines = await projection.feed(domain, after=after)
            fresh += lines[-_KEPT:]
        fresh.sort(key=lambda line: str(line["time"]))
        self.lines.extend(fresh)
        self.letters.extend(line for line in fresh if line["kind"] == "dead_letter")
