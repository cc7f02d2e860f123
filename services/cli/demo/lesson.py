"""What people teach in the demo: one confusion of the model, corrected often enough to learn from.

Judgements are kept for ever, so the same texts are not judged in full at every run: they would count more at each. The first run
brings all of them, a later one some more.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from protos import event_pb2, feedback_pb2, intent_pb2
from services.cli.answers.call import invoke
from services.cli.contract import contracts, feedback
from services.cli.problem import Problem
from services.cli.sending.draft import Draft, numbered, record
from services.cli.sending.generate import shipped
from services.cli.sending.produce import produce
from services.cli.sending.settled import Tally, await_settled
from services.cli.stack import Stack
from shared.event import Key
from shared.store.engine import make_engine
from shared.store.labels import labels
from shared.store.postgres import Store

DOMAIN, HEAD, LABEL = "intent", "intent", "parcel_locker"
_PEOPLE = ("p-17", "p-23", "p-31")  # opaque ids, as annotators have
_MORE = 2  # texts of the lesson in a run that is not the first
_WITHIN = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Lesson:
    """`taught` texts are streamed and corrected; the `asked` ones are never corrected."""

    taught: tuple[str, ...]
    asked: tuple[str, ...]


def lockers() -> Lesson:
    rows = shipped("demo/lockers.jsonl")
    taught, asked = (tuple(row["text"] for row in rows if row["use"] == use) for use in ("teach", "ask"))
    return Lesson(taught, asked)


def question(stack: Stack, text: str) -> intent_pb2.IntentResult:
    """A new event's answer, by gRPC."""
    return answered(stack, event_pb2.Event(source="demo/questions"), text).result


def answered(stack: Stack, event: event_pb2.Event, text: str) -> intent_pb2.IntentReply:
    """The reply to one text under an event's own name.

    Raises:
        Problem: the call failed, or was rejected.
    """
    call = intent_pb2.IntentCall(event=event, request=intent_pb2.IntentRequest(text=text, language="en"))
    reply = invoke(contracts()[DOMAIN], stack.address(DOMAIN), call, deadline=20)
    assert isinstance(reply, intent_pb2.IntentReply)
    if not reply.HasField("result"):
        raise Problem(f"the question was rejected: {reply.dead_letter.reason}: {reply.dead_letter.detail}")
    return reply


def known(stack: Stack) -> int:
    """How many answers people have corrected to the lesson's label so far."""

    async def count() -> int:
        store = Store(make_engine(stack.settings.postgres, connections=1))
        try:
            found = await labels(store, DOMAIN, approved=(LABEL,))
        finally:
            await store.close()
        return sum(each.label == LABEL for each in found)

    return asyncio.run(count())


def portion(lesson: Lesson, already: int, source: str) -> Sequence[str]:
    """What is corrected in this run, given how much has been before."""
    return random.Random(source).sample(lesson.taught, _MORE) if already else lesson.taught


def stream(stack: Stack, texts: Sequence[str], source: str) -> list[Key]:
    """Sends the texts that will be corrected; returns their events once each has an outcome."""
    drafts = [
        Draft(source, numbered(number, request := intent_pb2.IntentRequest(text=text, language="en")), request)
        for number, text in enumerate(texts, 1)
    ]
    sent = produce(stack.settings.kafka, (record(draft, contracts()[DOMAIN]) for draft in drafts))
    _settle(stack, sent.places)
    return [Key(DOMAIN, draft.source, draft.id) for draft in drafts]


def correct(stack: Stack, events: Sequence[Key], source: str) -> Tally:
    """What people say of those answers, by Kafka; returns what became of their judgements."""
    judgements = [
        feedback_pb2.FeedbackRequest(
            prediction_id=event.prediction_id, head=HEAD, label=LABEL, annotator=_PEOPLE[number % len(_PEOPLE)]
        )
        for number, event in enumerate(events)
    ]
    drafts = (Draft(source, numbered(number, said), said) for number, said in enumerate(judgements, 1))
    sent = produce(stack.settings.kafka, (record(draft, feedback()) for draft in drafts))
    return _settle(stack, sent.places)


def _settle(stack: Stack, places: dict[str, Key]) -> Tally:
    tally = asyncio.run(await_settled(stack.settings.postgres, places, _WITHIN))
    if tally.pending:
        raise Problem(f"{tally.pending} events have no outcome after {_WITHIN:.0f} s: see `tidemill status`")
    return tally


def said(result: intent_pb2.IntentResult) -> str:
    """An answer in a few words."""
    if result.out_of_scope:
        return f"out of scope ({result.out_of_scope_score:.0%}; nearest {result.intent})"
    return f"{result.intent} ({result.confidence:.0%})"


def label(result: intent_pb2.IntentResult) -> str:
    return "out_of_scope" if result.out_of_scope else result.intent
