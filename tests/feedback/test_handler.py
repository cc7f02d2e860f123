"""The feedback handler, with look-ups that hold what the test says."""

from datetime import UTC, datetime
from typing import Any

import pytest

from protos import feedback_pb2
from services.feedback.fields import MAX_COMMENT_BYTES
from services.feedback.handler import facts, handle
from shared import heads
from shared.domain import Prediction, Tools
from shared.errors import Reject
from shared.event import Key
from shared.store.read import StoredJudgement, StoredPrediction
from shared.store.tables import judgements

NOW = datetime(2026, 3, 2, tzinfo=UTC)
KEY = Key("feedback", "console", "j1")
INTENT = StoredPrediction(
    "p-intent", Key("intent", "shop", "1"), "intent", "v3", "", (
        Prediction("intent", "refund_request", {"refund_request": 0.7, "cancel_order": 0.3}),
        Prediction("sentiment", "negative", {"negative": 0.8, "neutral": 0.2}),
    ),
)  # fmt: skip
RISK = StoredPrediction(
    "p-risk", Key("risk", "wire", "1"), "risk", "v1", "", (
        Prediction("sentiment", "negative", {"negative": 0.8, "positive": 0.2}, "NRDH"),
        Prediction("severity", "high", {"high": 0.8, "low": 0.2}, "NRDH"),
        Prediction("sentiment", "positive", {"negative": 0.1, "positive": 0.9}, "OSTR"),
    ),
)  # fmt: skip
PIPED = StoredPrediction(
    "p-piped", Key("intent", "shop", "2"), "intent", "v3", "", (Prediction("intent", "on|off", {"on|off": 0.9, "up|down": 0.1}),)
)  # fmt: skip
EARLIER = StoredJudgement("j0", "p-intent", "intent", "", "refund_request", "bob", NOW)


class Stored:
    """The stored truth of these tests."""

    async def prediction(self, prediction_id: str) -> StoredPrediction | None:
        return {each.prediction_id: each for each in (INTENT, RISK, PIPED)}.get(prediction_id)

    async def judgement(self, judgement_id: str) -> StoredJudgement | None:
        return EARLIER if judgement_id == EARLIER.judgement_id else None


def request(**fields: Any) -> feedback_pb2.FeedbackRequest:
    given = {"prediction_id": "p-intent", "label": "cancel_order", "annotator": "ana"}
    return feedback_pb2.FeedbackRequest(**(given | fields))


async def judge(**fields: Any) -> feedback_pb2.FeedbackResult:
    return await handle(request(**fields), Tools(KEY, None, NOW, lookups=Stored()))  # type: ignore[arg-type]


async def test_a_correction_is_accepted_and_says_so() -> None:
    """The first head is judged by default; the answer names the model that was wrong."""
    result = await judge()
    assert (result.domain, result.head, result.target) == ("intent", "intent", "")
    assert (result.predicted, result.label) == ("refund_request", "cancel_order")
    assert result.status == feedback_pb2.JUDGEMENT_STATUS_ACCEPTED
    assert result.answer.why == "the model said refund_request; ana says cancel_order"
    assert (result.answer.model.name, result.answer.model.version) == ("intent", "v3")
    assert result.judgement_id == KEY.prediction_id


async def test_a_confirmation() -> None:
    """Saying what the model said confirms it."""
    result = await judge(label="refund_request")
    assert result.status == feedback_pb2.JUDGEMENT_STATUS_ACCEPTED
    assert result.answer.why == "ana confirms refund_request"


async def test_another_head_and_target() -> None:
    """Of several issuers one is named, and may be left out where there is only one."""
    result = await judge(prediction_id="p-risk", target="OSTR", label="negative")
    assert (result.head, result.target, result.predicted) == ("sentiment", "OSTR", "positive")
    assert result.answer.why == "the model said positive of OSTR; ana says negative"
    assert (await judge(prediction_id="p-risk", head="severity", label="low")).target == "NRDH"


async def test_of_several_right_labels_a_judgement_is_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept in one order, so that annotators who agree are seen to; a proposal as soon as one of them is new."""
    monkeypatch.setitem(heads.SEVERAL, "intent", ("intent",))  # type: ignore[index]
    both = await judge(label="refund_request | cancel_order")
    assert (both.label, both.status) == ("cancel_order|refund_request", feedback_pb2.JUDGEMENT_STATUS_ACCEPTED)
    assert facts(KEY, request(), both, NOW)[0][1]["label"] == both.label
    assert (await judge(label="|")).status == feedback_pb2.JUDGEMENT_STATUS_ACCEPTED
    proposed = await judge(label="cancel_order|voucher")
    assert proposed.status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL
    with pytest.raises(Reject, match="every right label once") as refused:
        await judge(label="cancel_order|cancel_order")
    assert (refused.value.reason, refused.value.field) == ("LABEL_INVALID", "label")
    long = "|".join(f"label-{n:03}-of-many" for n in range(20))
    assert (await judge(label=long)).status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL


async def test_a_label_the_model_does_not_know_is_a_proposal() -> None:
    """Kept and quarantined; "none of these" is known to an intent model without being one of its intents."""
    result = await judge(label="change_address")
    assert result.status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL
    assert "does not know" in result.answer.why
    assert (await judge(label="out_of_scope")).status == feedback_pb2.JUDGEMENT_STATUS_ACCEPTED
    proposal = await judge(head="sentiment", label="out_of_scope")
    assert proposal.status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL


@pytest.mark.parametrize("label", ["on|off", "up|down"])
async def test_a_label_that_the_model_tells_may_hold_the_separator(label: str) -> None:
    """Data may have named a class so; it can be confirmed and corrected to."""
    result = await judge(prediction_id="p-piped", label=label)
    assert (result.label, result.status) == (label, feedback_pb2.JUDGEMENT_STATUS_ACCEPTED)


async def test_a_judgement_may_replace_another() -> None:
    """Its answer says whose."""
    assert (await judge(supersedes="j0")).answer.why.endswith("replacing bob's refund_request")


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        ({"prediction_id": "p-none"}, "UNKNOWN_PREDICTION", "prediction_id"),
        ({"head": "mood"}, "UNKNOWN_HEAD", "intent, sentiment"),
        ({"target": "NRDH"}, "UNKNOWN_TARGET", "empty"),
        ({"prediction_id": "p-risk"}, "UNKNOWN_TARGET", "NRDH, OSTR"),
        ({"prediction_id": "p-risk", "target": "ACME"}, "UNKNOWN_TARGET", "NRDH, OSTR"),
        ({"supersedes": "j9"}, "UNKNOWN_JUDGEMENT", "supersedes"),
        ({"supersedes": "j0", "head": "sentiment"}, "UNKNOWN_JUDGEMENT", "same answer"),
        ({"prediction_id": ""}, "PREDICTION_ID_EMPTY", "prediction_id"),
        ({"label": ""}, "LABEL_EMPTY", "label"),
        ({"annotator": ""}, "ANNOTATOR_EMPTY", "annotator"),
        ({"label": "标" * 43}, "LABEL_TOO_LONG", "129 bytes; the limit is 128"),
        ({"label": "cancel_order "}, "LABEL_INVALID", "label"),
        ({"label": "cancel_order|refund_request"}, "LABEL_INVALID", "this head has one right label"),
        ({"label": "|"}, "LABEL_INVALID", "label must be a single one"),
        ({"annotator": "a\0b"}, "ANNOTATOR_INVALID", "annotator"),
        ({"head": "h" * 65}, "HEAD_TOO_LONG", "head"),
        ({"comment": "c" * (MAX_COMMENT_BYTES + 1)}, "COMMENT_TOO_LONG", "4,096"),
        ({"comment": "\0"}, "COMMENT_INVALID", "NUL"),
        ({"confidence": 1.1}, "CONFIDENCE_OUT_OF_RANGE", "0 to 1"),
        ({"confidence": float("nan")}, "CONFIDENCE_OUT_OF_RANGE", "confidence"),
        ({"seconds": -1}, "SECONDS_OUT_OF_RANGE", "seconds"),
        ({"seconds": float("inf")}, "SECONDS_OUT_OF_RANGE", "86,400"),
    ],
)
async def test_what_is_refused_and_why(fields: dict[str, Any], reason: str, said: str) -> None:
    """A stable code, a sentence that says what would do, and the field."""
    with pytest.raises(Reject) as refused:
        await judge(**fields)
    assert refused.value.reason == reason
    assert said in refused.value.detail
    assert refused.value.field in {field.name for field in feedback_pb2.FeedbackRequest.DESCRIPTOR.fields}


async def test_the_row_that_is_stored() -> None:
    """What was not said is null, and the date is the database's."""
    asked = request(comment="看\n两行", seconds=2.5)
    result = await handle(asked, Tools(KEY, None, NOW, lookups=Stored()))  # type: ignore[arg-type]
    result.answer.event.caller = "tenant"
    ((table, row),) = facts(KEY, asked, result, NOW)
    assert table is judgements
    assert row == {
        "judgement_id": KEY.prediction_id, "prediction_id": "p-intent", "head": "intent", "target": "", "domain": "intent",
        "label": "cancel_order", "proposed": False, "annotator": "ana", "caller": "tenant", "confidence": None, "seconds": 2.5,
        "comment": "看\n两行", "supersedes": None,
    }  # fmt: skip
