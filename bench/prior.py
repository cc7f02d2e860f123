"""The no-op model: bundles that answer every row with fixed frequencies, so that what is left to measure is the stack itself."""

import asyncio
import tempfile
from pathlib import Path

from bench.events import shipped
from shared.bundle import Bundle, Head, publish
from shared.ledger import Ledger
from shared.settings import Settings

_LEVELS = {"sentiment": ("negative", "neutral", "positive"), "severity": ("none", "low", "medium", "high")}
_EVENTS = ("earnings", "legal", "sales")


def heads(model: str) -> dict[str, tuple[str, ...]]:
    """The heads and labels of a domain's model, as the starters have them."""
    intents = tuple(row["intent"] for row in shipped("intent/intents.jsonl") if row["intent"] != "out_of_scope")
    return {
        "intent": {"intent": intents, "scope": ("in_scope", "out_of_scope"), "sentiment": _LEVELS["sentiment"]},
        "risk": {**_LEVELS, "event": _EVENTS},
        "imaging": {"finding": ("normal", "opacity", "effusion")},
    }[model]


def bundle(model: str) -> Bundle:
    found = heads(model)
    return Bundle(
        kind="prior",
        model=model,
        heads={head: Head(labels=labels) for head, labels in found.items()},
        prior={head: tuple(_falling(len(labels))) for head, labels in found.items()},
    )


def _falling(count: int) -> list[float]:
    """Frequencies that fall from label to label, so that the first is always the answer."""
    weights = [count - i for i in range(count)]
    return [weight / sum(weights) for weight in weights]


def make(models: Path, model: str, version: str) -> str:
    """Publishes a prior into the bundle store; its digest."""
    with tempfile.TemporaryDirectory() as scratch:
        return publish(Path(scratch), bundle(model), models, version)[1]


def promote(settings: Settings, model: str, version: str, digest: str = "") -> None:
    """Makes a version live through the ledger, as a person would; without a `digest` a prior is published as that version first."""
    digest = digest or make(settings.models, model, version)

    async def append() -> None:
        ledger = Ledger.open(settings)
        try:
            await ledger.promote(model, version, digest, approver="bench", evidence={"why": "a measurement or a test"})
        finally:
            await ledger.close()

    asyncio.run(append())
