"""Realistic events from the sentences that the project ships, and from images that it draws; the same seed makes the same events."""

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from protos import imaging_pb2, intent_pb2, risk_pb2
from services.cli.contract import Contract
from services.cli.problem import Problem
from services.cli.sending.draft import Draft, numbered
from services.cli.sending.intake import Options

DATA = Path(__file__).resolve().parents[3] / "data"
_POOR = 0.1  # share of images that nobody should judge
_PUBLISHERS = ("Harbour Wire", "Morning Ledger", "North Quay Press")


def generate(contract: Contract, count: int, seed: int, options: Options) -> Iterator[Draft]:
    """`count` events of a domain.

    Raises:
        Problem: nothing is shipped from which this domain's events could be made.
    """
    if contract.name not in _MAKERS:
        raise Problem(f"--generate knows {', '.join(_MAKERS)}; send your own {contract.name} events from a file")
    make, chance = _MAKERS[contract.name], random.Random(f"{contract.name}/{seed}")
    for number in range(1, count + 1):
        request = make(chance, options)
        yield Draft(
            source=options.source or f"cli/generated/{seed}",
            id=numbered(number, request),
            request=request,
            caller=options.caller,
            content_type=options.content_type,
        )


def _intent(chance: random.Random, options: Options) -> Message:
    row = chance.choice(_rows("intent/utterances.jsonl", options.defaults.get("language", "")))
    return intent_pb2.IntentRequest(
        text=row["text"], language=row["language"], conversation=f"c-{chance.randrange(100_000):05}"
    )


def _risk(chance: random.Random, options: Options) -> Message:
    row = chance.choice(_rows("risk/headlines.jsonl", options.defaults.get("language", "")))
    return risk_pb2.RiskRequest(headline=row["text"], language=row["language"], publisher=chance.choice(_PUBLISHERS))


def _imaging(chance: random.Random, options: Options) -> Message:
    from shared import radiograph  # late: numpy, Pillow and pydicom are needed for images alone

    finding = "poor" if chance.random() < _POOR else chance.choice(radiograph.FINDINGS)
    image = radiograph.draw_any(finding, chance.randrange(1 << 31))
    return imaging_pb2.ImagingRequest(inline=image, study=f"s-{chance.randrange(100_000):05}")


_MAKERS = {"intent": _intent, "risk": _risk, "imaging": _imaging}


def _rows(name: str, language: str) -> list[dict[str, Any]]:
    rows = [row for row in shipped(name) if not language or row["language"] == language]
    if not rows:
        raise Problem(f"data/{name} has nothing in the language {language!r}")
    return rows


@cache
def shipped(name: str) -> list[dict[str, Any]]:
    """The rows of one of the JSON-lines files under `data/`."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
