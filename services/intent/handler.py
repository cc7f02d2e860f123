"""What a customer wants, how they feel, and whether we can tell at all."""

from protos import event_pb2, intent_pb2
from shared.domain import Prediction, Tools
from shared.errors import Reject
from shared.explanation import add_explanation
from shared.inference.contract import Inference
from shared.language import primary

MAX_TEXT_BYTES = 32 * 1024
MAX_CONVERSATION_BYTES = 256


async def handle(request: intent_pb2.IntentRequest, tools: Tools) -> intent_pb2.IntentResult:
    """Rejects with TEXT_EMPTY, TEXT_TOO_LONG, CONVERSATION_TOO_LONG or LANGUAGE_INVALID."""
    check(request)
    language = primary(request.language, request.text)
    answer = await tools.infer("intent", {"text": request.text, "language": language}, explain=tools.explain)
    result = compose(answer, language)
    add_explanation(result, answer, request.text)
    return result


def check(request: intent_pb2.IntentRequest) -> None:
    size = len(request.text.encode())
    if not request.text.strip():
        raise Reject("TEXT_EMPTY", "text must hold at least one visible character", "text")
    if size > MAX_TEXT_BYTES:
        raise Reject("TEXT_TOO_LONG", f"text has {size:,} bytes; the limit is {MAX_TEXT_BYTES:,}", "text")
    if len(request.conversation.encode()) > MAX_CONVERSATION_BYTES:
        raise Reject("CONVERSATION_TOO_LONG", f"conversation may have {MAX_CONVERSATION_BYTES} bytes", "conversation")


def compose(answer: Inference, language: str) -> intent_pb2.IntentResult:
    """The result message for one row's calibrated distributions."""
    ranking = answer.ranking("intent")
    intent, confidence = ranking[0]
    score, threshold = scope(answer, language, confidence)
    sentiment = answer.ranking("sentiment") if "sentiment" in answer.card.labels else []
    result = intent_pb2.IntentResult(
        answer=event_pb2.Answer(model=event_pb2.Model(name=answer.card.model, version=answer.card.version)),
        intent=intent,
        confidence=confidence,
        out_of_scope=score >= threshold,
        out_of_scope_score=score,
        ranking=scores(ranking),
        sentiment=sentiment[0][0] if sentiment else "",
        sentiment_ranking=scores(sentiment),
        language=language,
        truncated=answer.truncated,
    )
    result.answer.why = explain(result, threshold)
    return result


def scope(answer: Inference, language: str, confidence: float) -> tuple[float, float]:
    """(out-of-scope score, threshold at and above which the text is out of scope).

    The score is the `scope` head's where the model has one, else 1 - confidence. The threshold is fixed by training on validation data
    and comes with the answering version; a model without one never says "none of these".
    """
    thresholds = answer.card.thresholds
    threshold = thresholds.get(f"scope.out_of_scope.{language}", thresholds.get("scope.out_of_scope", 1.01))
    if "scope" not in answer.card.labels:
        return 1 - confidence, threshold
    return dict(answer.ranking("scope"))["out_of_scope"], threshold


def explain(result: intent_pb2.IntentResult, threshold: float) -> str:
    first = f"{result.intent} {result.confidence:.0%}"
    second = f", then {result.ranking[1].label} {result.ranking[1].probability:.0%}" if len(result.ranking) > 1 else ""
    tone = f"; tone {result.sentiment}" if result.sentiment else ""
    if result.out_of_scope:
        return (
            f"none of the known intents: out-of-scope score {result.out_of_scope_score:.2f} reaches the threshold {threshold:.2f}"
            f" (nearest: {first}{second}){tone}"
        )
    return f"most like {first}{second}{tone}" + ("; only the beginning was read" if result.truncated else "")


def scores(ranking: list[tuple[str, float]]) -> list[event_pb2.Score]:
    return [event_pb2.Score(label=label, probability=probability) for label, probability in ranking]


def predictions(result: intent_pb2.IntentResult) -> list[Prediction]:
    """What a person can judge: the intent ("out_of_scope" where we said so) and the sentiment."""
    ranking = {score.label: score.probability for score in result.ranking}
    found = [Prediction("intent", "out_of_scope" if result.out_of_scope else result.intent, ranking)]
    if result.sentiment:
        found.append(
            Prediction("sentiment", result.sentiment, {s.label: s.probability for s in result.sentiment_ranking})
        )
    return found
