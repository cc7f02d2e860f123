"""Events with known ids, what each must come to, and the same ones again for the same seed."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from google.protobuf.message import Message

from protos import event_pb2, feedback_pb2, imaging_pb2, intent_pb2, risk_pb2
from shared.event import Key

DATA = Path(__file__).resolve().parents[1] / "data"
Door = Literal["kafka", "grpc", "both"]


@dataclass(frozen=True, slots=True)
class Route:
    """How a domain is reached through both doors."""

    topic: str
    method: str
    call: type[Message]
    reply: type[Message]


ROUTES = {
    "intent": Route(
        "intent.requests.v1",
        "/tidemill.intent.v1.IntentService/Classify",
        intent_pb2.IntentCall,
        intent_pb2.IntentReply,
    ),
    "risk": Route("risk.requests.v1", "/tidemill.risk.v1.RiskService/Assess", risk_pb2.RiskCall, risk_pb2.RiskReply),
    "imaging": Route(
        "imaging.requests.v1",
        "/tidemill.imaging.v1.ImagingService/Read",
        imaging_pb2.ImagingCall,
        imaging_pb2.ImagingReply,
    ),
    "feedback": Route(
        "feedback.v1",
        "/tidemill.feedback.v1.FeedbackService/Judge",
        feedback_pb2.FeedbackCall,
        feedback_pb2.FeedbackReply,
    ),
}
MIX = {"intent": 0.76, "risk": 0.12, "imaging": 0.04, "feedback": 0.08}


@dataclass(frozen=True, slots=True)
class Planned:
    """One event that is going to be sent.

    Args:
        door: "both" is the same event through both doors at once.
        copies: how often it is put on Kafka, on purpose.
        clash: another payload that follows under the same id, on Kafka, and must be refused.
        reason: of the dead letter that it must end as; empty: it must end as a result.
    """

    key: Key
    request: Message
    door: Door = "kafka"
    copies: int = 1
    clash: Message | None = None
    reason: str = ""

    @property
    def digest(self) -> bytes:
        """What the store must have noted of the payload."""
        return hashlib.sha256(self.payload).digest()

    @property
    def payload(self) -> bytes:
        return self.request.SerializeToString(deterministic=True)

    @property
    def call(self) -> Message:
        event = event_pb2.Event(source=self.key.source, id=self.key.id)
        return ROUTES[self.key.domain].call(event=event, request=self.request)


class Traffic:
    """Draws events. `source` names them all; feedback judges predictions of `judged`, keys of results that are stored already."""

    def __init__(self, source: str, seed: int, mix: dict[str, float] | None = None) -> None:
        self.source = source
        self.judged: Sequence[Key] = ()
        self._chance = random.Random(f"traffic/{seed}")
        self._mix = mix or MIX
        self._drawn = 0

    def draw(self, domain: str = "", door: Door | None = None) -> Planned:
        """The next event: mostly intents, mostly by Kafka; some are wrong, doubled, clashing, or come through both doors."""
        chance = self._chance
        if not domain:
            domain = chance.choices(list(self._mix), list(self._mix.values()))[0]
        if domain == "feedback" and not self.judged:
            domain = "intent"
        self._drawn += 1
        key = Key(domain, self.source, f"{domain}-{self._drawn:06}")
        request, reason = self._request(key)
        special = chance.random()
        drawn: Door = "grpc" if chance.random() < 0.2 else "kafka"
        if special < 0.05 and domain != "imaging" and drawn == "kafka":
            drawn = "both"
        door = door or drawn  # who asks for a door wants to see that it answers, by itself
        copies = 2 if 0.05 <= special < 0.08 and door == "kafka" else 1
        clash = self._request(key)[0] if 0.08 <= special < 0.09 and door == "kafka" else None
        if clash is not None and clash.SerializeToString() == request.SerializeToString():
            clash = None
        return Planned(key, request, door, copies, clash, reason)

    def _request(self, key: Key) -> tuple[Message, str]:
        chance = self._chance
        if key.domain == "feedback":
            return self._judgement(key)
        wrong = chance.random() < 0.03
        if key.domain == "risk":
            row = chance.choice(shipped("risk/headlines.jsonl"))
            news = risk_pb2.RiskRequest(headline="" if wrong else row["text"], language=row["language"])
            return news, "HEADLINE_EMPTY" if wrong else ""
        if key.domain == "imaging":
            data = b"not an image" if wrong else chance.choice(radiographs())
            image = imaging_pb2.ImagingRequest(inline=data, study=f"s-{chance.randrange(50)}")
            return image, "IMAGE_FORMAT_UNKNOWN" if wrong else ""
        row = chance.choice(shipped("intent/utterances.jsonl"))
        text = " " if wrong else f"{row['text']} ({key.id})"
        request = intent_pb2.IntentRequest(
            text=text, language=row["language"], conversation=f"c-{chance.randrange(99)}"
        )
        return request, "TEXT_EMPTY" if wrong else ""

    def _judgement(self, key: Key) -> tuple[Message, str]:
        chance = self._chance
        wrong = chance.random() < 0.1
        request = feedback_pb2.FeedbackRequest(
            prediction_id="no-such-prediction" if wrong else chance.choice(self.judged).prediction_id,
            head="intent",
            label=chance.choice(shipped("intent/intents.jsonl"))["intent"],
            annotator=f"a-{chance.randrange(9)}",
            comment=f"{key.source}/{key.id}",  # so that each can be found among the judgements
        )
        return request, "UNKNOWN_PREDICTION" if wrong else ""


@cache
def shipped(name: str) -> list[dict[str, Any]]:
    """The rows of one of the JSON-lines files under `data/`."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@cache
def radiographs(count: int = 24) -> list[bytes]:
    """A few synthetic images, small and drawn once: the load is on the stack, not on the pencil."""
    from shared import radiograph

    return [radiograph.draw(radiograph.FINDINGS[seed % 3], seed, side=96) for seed in range(count)]
