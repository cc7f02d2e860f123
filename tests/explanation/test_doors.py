"""Asking for an explanation at either door: no part of what the event says, and never what costs an event its answer."""

from dataclasses import replace
from typing import Any

import pytest

from protos import event_pb2, feedback_pb2, intent_pb2
from services.feedback.wiring import DOMAIN as FEEDBACK
from services.intent.wiring import DOMAIN as INTENT
from shared.domain import Domain
from shared.errors import Reject
from shared.serve.call import arrive as arrive_by_call
from shared.settlement.settlement import settle
from shared.store.outcome import Settled
from shared.topic import cloudevents
from shared.topic.records import record
from tests.echo import answer
from tests.fakes import NOW, FakeStore, arrival, handling, means
from tests.settlement.outcomes import ECHO, result


async def tell_explain(request: Any, tools: Any) -> Any:
    return answer(tools.explain)


EXPLAINS = handling(replace(ECHO, explains=("intent", "scope")), tell_explain)


async def test_the_same_event_asked_otherwise_has_the_same_outcome() -> None:
    """Whether an explanation is asked for is not part of the payload: the first outcome stands, and nothing is reused."""
    store = FakeStore()
    asked = replace(arrival("hello"), explain="scope")
    (first,) = await settle(EXPLAINS, [asked], means(store))
    (again,) = await settle(EXPLAINS, [arrival("hello", place="t:0:9")], means(store))
    assert result(first).intent == "scope"
    assert isinstance(again, Settled)
    assert (again.known, again.reused, result(again).intent) == (True, False, "scope")


@pytest.mark.parametrize("domain", [EXPLAINS, replace(EXPLAINS, explains=())], ids=["some heads", "none"])
async def test_a_record_that_asks_for_what_there_is_not_is_answered_without(domain: Domain) -> None:
    """Whoever sent it cannot be told beforehand; its handler never hears of that head."""
    (settled,) = await settle(domain, [replace(arrival("hello"), explain="mood\x07")], means(FakeStore()))
    assert result(settled).intent == ""


@pytest.mark.parametrize(("header", "explain"), [((), ""), ((("ce_explain", b"scope"),), "scope")])
def test_kafka_asks_by_a_header(header: Any, explain: str) -> None:
    """Which a dead letter keeps, so that it can be sent again as it was."""
    headers = (("ce_id", b"1"), *header)
    assert cloudevents.arrive("intent", "t", 0, 7, NOW, None, b"", headers).explain == explain


async def test_a_dead_letter_of_a_call_asks_again() -> None:
    """Its headers say what the call asked for."""
    call = intent_pb2.IntentCall(request=intent_pb2.IntentRequest(text="reject"), explain="scope")
    made = arrive_by_call(INTENT, call, "", 0.0, (), "run")
    (settled,) = await settle(
        replace(ECHO, explains=INTENT.explains), [replace(made, deadline=None)], means(FakeStore())
    )
    assert isinstance(settled, Settled)
    assert ("ce_explain", b"scope") in record(INTENT, settled).headers


def test_a_call_that_asks_for_what_there_is_not_is_refused_at_the_door() -> None:
    """Before anything is stored under its key; a domain whose calls cannot ask has none to refuse."""
    event, request = event_pb2.Event(source="s", id="1"), intent_pb2.IntentRequest(text="hello")
    with pytest.raises(Reject, match="explain must be one of intent, sentiment, scope"):
        arrive_by_call(INTENT, intent_pb2.IntentCall(event=event, request=request, explain="mood"), "", 0.0, (), "run")
    assert arrive_by_call(FEEDBACK, feedback_pb2.FeedbackCall(event=event), "", 0.0, (), "run").explain == ""
