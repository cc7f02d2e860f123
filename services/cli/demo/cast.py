"""The demo's events: real-looking ones of every domain, some that are wrong on purpose, and some sent twice."""

import random
from collections.abc import Iterator
from dataclasses import replace

from google.protobuf.message import Message

from protos import event_pb2, imaging_pb2, intent_pb2, risk_pb2
from services.cli.contract import contracts
from services.cli.sending.draft import Draft, Record, record
from services.cli.sending.generate import generate
from services.cli.sending.intake import Options
from shared.event import JSON

SHARES = {"intent": 180, "risk": 80, "imaging": 40}
TWICE = 5  # events that are sent a second time, as they are

Sending = tuple[str, Draft]  # domain, event


def cast(source: str, seed: int) -> list[Sending]:
    """Everything in the order in which it is sent: the good mixed, and what is odd among it from the first third on."""
    chance = random.Random(seed)
    good = [
        (name, draft)
        for name, count in SHARES.items()
        for draft in generate(contracts()[name], count, seed, Options(source=source))
    ]
    chance.shuffle(good)
    events = list(good)
    for odd in [*wrong(source), reused(good), *good[:TWICE]]:
        events.insert(chance.randrange(len(good) // 3, len(events)), odd)
    return events


def reused(good: list[Sending]) -> Sending:
    """A new text under the id of an event that was sent before: refused, and never a second outcome of that id."""
    first = next(draft for name, draft in good[TWICE:] if name == "intent")
    return "intent", replace(first, request=intent_pb2.IntentRequest(text="this text has another event's id"))


def wrong(source: str) -> list[Sending]:
    """Events that can never succeed, each for another reason."""
    claim = event_pb2.Claim(store="elsewhere", key="scan.dcm", sha256="0" * 64)
    requests: list[tuple[str, Message | bytes, str]] = [
        ("intent", intent_pb2.IntentRequest(text="  "), ""),
        ("intent", intent_pb2.IntentRequest(text="very " * 7000 + "long"), ""),
        ("intent", intent_pb2.IntentRequest(text="hello", language="no such language"), ""),
        ("intent", b'{"text": "the rest of this was cut o', JSON),
        ("intent", b"a text in no known encoding", "text/plain"),
        ("risk", risk_pb2.RiskRequest(headline=""), ""),
        ("risk", risk_pb2.RiskRequest(headline="Too many issuers", issuers=[f"I{n}" for n in range(33)]), ""),
        ("imaging", imaging_pb2.ImagingRequest(inline=b"GIF89a, it says, and is not even that"), ""),
        ("imaging", imaging_pb2.ImagingRequest(claim=claim), ""),
    ]
    made = []
    for number, (name, request, content_type) in enumerate(requests, 1):
        draft = Draft(source, f"wrong-{number}", request)
        made.append((name, replace(draft, content_type=content_type) if content_type else draft))
    return made


def records(events: list[Sending]) -> Iterator[Record]:
    return (record(draft, contracts()[name]) for name, draft in events)
