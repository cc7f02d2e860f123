"""What an answer says, in few words: the same for the stream, a call, the live view and the demo."""

from dataclasses import dataclass

from google.protobuf.message import Message

from protos import feedback_pb2, imaging_pb2, intent_pb2, risk_pb2


@dataclass(frozen=True, slots=True)
class Summary:
    decision: str
    confidence: float | None  # calibrated, 0 to 1; None: the answer has none
    why: str


def summarize(result: Message) -> Summary:
    """Any domain's result; of a domain not known here, its first text field and its `confidence`."""
    if isinstance(result, intent_pb2.IntentResult):
        return _intent(result)
    if isinstance(result, risk_pb2.RiskResult):
        return _risk(result)
    if isinstance(result, imaging_pb2.ImagingResult):
        return _imaging(result)
    if isinstance(result, feedback_pb2.FeedbackResult):
        return Summary(
            f"{result.predicted} → {result.label}", None, f"judgement {result.judgement_id} of {result.domain}"
        )
    return _any(result)


def _intent(result: intent_pb2.IntentResult) -> Summary:
    if result.out_of_scope:
        return Summary("out of scope", result.out_of_scope_score, result.answer.why)
    return Summary(result.intent, result.confidence, result.answer.why)


def _risk(result: risk_pb2.RiskResult) -> Summary:
    if not result.issuers:
        return Summary("no issuer named", None, result.answer.why)
    worst = max(result.issuers, key=lambda item: item.risk)
    probability = next((s.probability for s in worst.sentiment_ranking if s.label == worst.sentiment), None)
    others = f" (+{len(result.issuers) - 1})" if len(result.issuers) > 1 else ""
    return Summary(f"{worst.name} {worst.sentiment}, risk {worst.risk:.0f}{others}", probability, result.answer.why)


def _imaging(result: imaging_pb2.ImagingResult) -> Summary:
    decision = imaging_pb2.Decision.Name(result.decision).removeprefix("DECISION_").lower().replace("_", " ")
    if not result.finding:
        return Summary(decision, None, result.answer.why or result.decision_reason)
    return Summary(f"{decision}: {result.finding}", result.confidence, result.answer.why or result.decision_reason)


def _any(result: Message) -> Summary:
    texts = [str(value) for field, value in result.ListFields() if isinstance(value, str) and field.name != "notice"]
    confidence = getattr(result, "confidence", None)
    answer = getattr(result, "answer", None)
    return Summary(texts[0] if texts else "answered", confidence, getattr(answer, "why", ""))
