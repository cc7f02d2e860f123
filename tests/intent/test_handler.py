"""The intent handler, with an inference that answers what the test says."""

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
import pytest

from protos import intent_pb2
from services.intent.handler import handle, predictions
from shared.domain import Tools
from shared.errors import Reject
from shared.event import Key
from shared.inference.contract import Card, Inference, Value

LABELS = {
    "intent": ("cancel", "refund", "track"),
    "scope": ("in_scope", "out_of_scope"),
    "sentiment": ("negative", "neutral", "positive"),
}


class FixedInference:
    """Answers every row with the same distributions and remembers the rows."""

    def __init__(self, out_of_scope: float = 0.1, thresholds: Mapping[str, float] | None = None) -> None:
        self.rows: list[Mapping[str, Value]] = []
        self.card = Card(
            "intent", "v1", LABELS, thresholds if thresholds is not None else {"scope.out_of_scope.en": 0.6}
        )
        self.out_of_scope = out_of_scope

    async def __call__(
        self, model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = ""
    ) -> Inference:
        assert model == "intent"
        self.rows.append(row)
        distributions = {
            "intent": [0.1, 0.7, 0.2],
            "scope": [1 - self.out_of_scope, self.out_of_scope],
            "sentiment": [0.5, 0.3, 0.2],
        }
        return Inference(self.card, {head: np.array(p, dtype=np.float32) for head, p in distributions.items()})


async def classify(text: str, infer: FixedInference | None = None, **fields: str) -> intent_pb2.IntentResult:
    tools = Tools(Key("intent", "test", "1"), infer or FixedInference(), datetime.now(UTC))
    return await handle(intent_pb2.IntentRequest(text=text, **fields), tools)


async def test_answers_with_the_full_ranking_and_says_why() -> None:
    """The ranking holds every label, most probable first, and the line names the best two."""
    result = await classify("I want my money back")
    assert [score.label for score in result.ranking] == ["refund", "track", "cancel"]
    assert (result.intent, result.sentiment, result.out_of_scope) == ("refund", "negative", False)
    assert result.confidence == pytest.approx(0.7)
    assert result.answer.why == "most like refund 70%, then track 20%; tone negative"


@pytest.mark.parametrize(("score", "expected"), [(0.59, False), (0.61, True)])
async def test_out_of_scope_by_the_threshold_of_the_answering_version(score: float, expected: bool) -> None:
    """At the threshold and above, the answer is "none of these", and feedback judges it as such."""
    result = await classify("what is the weather", FixedInference(score))
    assert result.out_of_scope is expected
    assert predictions(result)[0].label == ("out_of_scope" if expected else "refund")
    assert ("none of the known intents" in result.answer.why) is expected


async def test_a_model_without_a_threshold_never_says_out_of_scope() -> None:
    """Without a threshold fixed on validation data there is no honest "none of these"."""
    assert not (await classify("gibberish", FixedInference(0.99, thresholds={}))).out_of_scope


@pytest.mark.parametrize(
    ("text", "tag", "language"),
    [
        ("我的包裹在哪里", "", "zh"),
        ("where is it", "", "en"),
        ("where is it", "zh-Hans", "zh"),
        ("我要查 order 12", "", "zh"),
    ],
)
async def test_language_is_detected_unless_given(text: str, tag: str, language: str) -> None:
    """The row that inference sees carries the language that picks its route."""
    infer = FixedInference()
    result = await classify(text, infer, language=tag)
    assert result.language == language
    assert infer.rows == [{"text": text, "language": language}]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"text": ""}, "TEXT_EMPTY"),
        ({"text": " \n\t"}, "TEXT_EMPTY"),
        ({"text": "x" * 1_000_000}, "TEXT_TOO_LONG"),
        ({"text": "hello", "language": "english!"}, "LANGUAGE_INVALID"),
        ({"text": "hello", "conversation": "c" * 257}, "CONVERSATION_TOO_LONG"),
    ],
)
async def test_bad_input_is_rejected_naming_the_field(fields: dict[str, str], reason: str) -> None:
    """Each limit has its own reason code, and the detail names the field."""
    with pytest.raises(Reject) as caught:
        await classify(**fields)
    assert caught.value.reason == reason
    assert caught.value.field in caught.value.detail
