"""Explanations through a whole stack: at both doors, for those who ask."""

import grpc
import pytest

from bench.local import Local
from protos import event_pb2, intent_pb2, risk_pb2
from shared.event import Key
from tests.whole.sending import Event, call, new_source, outcomes, put

TEXT = "Where is my parcel? 包裹在哪里"
HEADLINE = "Brackmoor fined as Allyance Foods wins damages"


def check(told: event_pb2.Explanation, text: str) -> list[str]:
    """The words of an explanation whose sum is right."""
    total = sum(word.score for word in told.words) + told.about + told.rest
    assert total == pytest.approx(told.lead, abs=1e-3)
    return [text[word.start : word.end] for word in told.words]


async def test_a_call_and_a_record_that_ask_are_explained(stack: Local) -> None:
    """By the answering model's own parts, in the text's own words; what is stored for one is what the other gets."""
    source, request = new_source(), intent_pb2.IntentRequest(text=TEXT, language="en")
    event = event_pb2.Event(source=source, id="call")
    async with grpc.aio.insecure_channel(stack.address("intent")) as channel:
        asked = intent_pb2.IntentCall(event=event, request=request, explain="sentiment")
        reply = await call(channel, "intent", asked)
        (told,) = reply.result.answer.explanations
        assert (told.head, told.label) == ("sentiment", reply.result.sentiment)
        assert check(told, TEXT)[:4] == ["Where", "is", "my", "parcel"]
        again = await call(channel, "intent", intent_pb2.IntentCall(event=event, request=request))
        assert (again.known, again.result) == (True, reply.result)
        with pytest.raises(grpc.aio.AioRpcError, match="explain must be one of"):
            await call(channel, "intent", intent_pb2.IntentCall(request=request, explain="mood"))

    news = risk_pb2.RiskRequest(headline=HEADLINE, language="en")
    asking = Event(Key("risk", source, "asks"), news, headers=[("ce_explain", b"severity")])
    plain, typo = Event(Key("risk", source, "plain"), news), Event(Key("risk", source, "typo"), news)
    typo.headers = [("ce_explain", b"severety")]
    await put(stack, [asking, plain, typo])
    rows = await outcomes(stack, [asking.key, plain.key, typo.key])
    found = risk_pb2.RiskResult.FromString(rows[asking.key]["body"])
    assert [told.target for told in found.answer.explanations] == [issuer.issuer for issuer in found.issuers]
    assert all("fined" in check(told, HEADLINE) for told in found.answer.explanations)
    assert not risk_pb2.RiskResult.FromString(rows[plain.key]["body"]).answer.explanations
    assert rows[typo.key]["kind"] == "result"
    assert not risk_pb2.RiskResult.FromString(rows[typo.key]["body"]).answer.explanations
