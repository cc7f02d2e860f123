"""What one news item means for each issuer it names."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from protos import event_pb2, risk_pb2
from services.risk.issuers import Issuers, Mention
from shared.domain import Prediction, Row, Tools
from shared.errors import Reject, Unavailable
from shared.event import Key
from shared.explanation import add_explanation
from shared.inference.contract import Inference
from shared.language import primary
from shared.store.tables import issuer_risks

MAX_HEADLINE_BYTES = 4 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_ISSUERS = 32
MAX_ISSUER_BYTES = 128
MAX_PUBLISHER_BYTES = 256

# How much of the worst an item of each severity is. Chosen, not learned: stated here so that it can be argued with.
SEVERITY = {"none": 0.0, "low": 0.25, "medium": 0.6, "high": 1.0}


async def handle(request: risk_pb2.RiskRequest, tools: Tools) -> risk_pb2.RiskResult:
    """Rejects with HEADLINE_EMPTY, HEADLINE_TOO_LONG, BODY_TOO_LONG, ISSUERS_TOO_MANY, ISSUER_INVALID, PUBLISHER_TOO_LONG,
    PUBLISHED_AT_INVALID or LANGUAGE_INVALID."""
    check(request)
    language = primary(request.language, request.headline)
    known: Issuers = tools.lookups
    mentions = (
        known.resolve(request.issuers, request.headline)
        if request.issuers
        else known.find(request.headline)[:MAX_ISSUERS]
    )
    answers = await ask_all(mentions, request, language, tools)
    result = risk_pb2.RiskResult(language=language, issuers=map(compose, mentions, answers))
    for mention, answer in zip(mentions, answers, strict=True):
        add_explanation(result, answer, request.headline, target=mention.issuer, of=len(answers))
    if not answers:
        result.answer.why = "no known issuer is named in the headline; name the ones you mean in `issuers`"
        return result
    card = answers[0].card
    worst = max(result.issuers, key=lambda item: item.risk)
    result.answer.model.CopyFrom(event_pb2.Model(name=card.model, version=card.version))
    result.answer.why = f"highest risk {worst.risk:.0f} of 100 for {worst.name}: {worst.why}"
    return result


async def ask_all(
    mentions: Sequence[Mention], request: risk_pb2.RiskRequest, language: str, tools: Tools
) -> list[Inference]:
    """Each mention's answer, all by one version: the result names one, and feedback is held against it."""
    for _ in range(3):
        answers = await asyncio.gather(*(ask(mention, request, language, tools) for mention in mentions))
        if len({answer.card.version for answer in answers}) <= 1:
            return answers
    raise Unavailable("inference", "its model was exchanged again and again while one headline was read")


def check(request: risk_pb2.RiskRequest) -> None:
    limits = (
        ("HEADLINE_TOO_LONG", "headline", request.headline, MAX_HEADLINE_BYTES),
        ("BODY_TOO_LONG", "body", request.body, MAX_BODY_BYTES),
        ("PUBLISHER_TOO_LONG", "publisher", request.publisher, MAX_PUBLISHER_BYTES),
    )
    for reason, name, value, limit in limits:
        if (size := len(value.encode())) > limit:
            raise Reject(reason, f"{name} has {size:,} bytes; the limit is {limit:,}", name)
    if not request.headline.strip():
        raise Reject("HEADLINE_EMPTY", "headline must hold at least one visible character", "headline")
    if len(request.issuers) > MAX_ISSUERS:
        raise Reject(
            "ISSUERS_TOO_MANY", f"issuers has {len(request.issuers)} entries; the limit is {MAX_ISSUERS}", "issuers"
        )
    for index, issuer in enumerate(request.issuers):
        check_issuer(issuer, f"issuers[{index}]")
    if request.HasField("published_at"):
        moment(request)


def check_issuer(issuer: str, field: str) -> None:
    """Also what feedback takes for a target: else nobody could correct what is said of an issuer that a caller named."""
    size = len(issuer.encode())
    if not 0 < size <= MAX_ISSUER_BYTES or issuer != issuer.strip() or not issuer.isprintable():
        raise Reject(
            "ISSUER_INVALID",
            f"an issuer must be 1 to {MAX_ISSUER_BYTES} bytes of printable text without space at its ends; this one has {size:,}",
            field,
        )


def moment(request: risk_pb2.RiskRequest) -> datetime:
    try:
        return request.published_at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Reject("PUBLISHED_AT_INVALID", "published_at is outside years 1 to 9999", "published_at") from error


async def ask(mention: Mention, request: risk_pb2.RiskRequest, language: str, tools: Tools) -> Inference:
    """The model reads the headline once for each issuer: good news for one can be bad news for another."""
    row = {"text": mention.name, "text_pair": request.headline, "language": language}
    return await tools.infer("risk", row, explain=tools.explain)


def compose(mention: Mention, answer: Inference) -> risk_pb2.IssuerRisk:
    sentiment, severity = answer.ranking("sentiment"), answer.ranking("severity")
    negative = dict(sentiment)["negative"]
    expected = sum(SEVERITY[label] * probability for label, probability in severity)
    return risk_pb2.IssuerRisk(
        issuer=mention.issuer,
        name=mention.name,
        sentiment=sentiment[0][0],
        sentiment_ranking=[event_pb2.Score(label=label, probability=p) for label, p in sentiment],
        severity=severity[0][0],
        severity_ranking=[event_pb2.Score(label=label, probability=p) for label, p in severity],
        risk=100 * min(1.0, max(0.0, negative * expected)),
        why=f"{negative:.0%} likely bad news for it, severity most likely {severity[0][0]} ({severity[0][1]:.0%})",
    )


def predictions(result: risk_pb2.RiskResult) -> list[Prediction]:
    found = []
    for item in result.issuers:
        for head, label, ranking in (
            ("sentiment", item.sentiment, item.sentiment_ranking),
            ("severity", item.severity, item.severity_ranking),
        ):
            found.append(Prediction(head, label, {s.label: s.probability for s in ranking}, target=item.issuer))
    return found


def facts(key: Key, request: risk_pb2.RiskRequest, result: risk_pb2.RiskResult, time: datetime) -> list[Row]:
    """One row for each issuer, from which its windows are computed at read time."""
    at = moment(request) if request.HasField("published_at") else time
    common = {"domain": key.domain, "source": key.source, "id": key.id, "event_time": at}
    return [(issuer_risks, common | {"issuer": item.issuer, "risk": item.risk / 100}) for item in result.issuers]
