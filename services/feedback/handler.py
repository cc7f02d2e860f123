"""What a person says of a prediction, tied to that prediction for ever."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from protos import feedback_pb2
from services.feedback.fields import check, check_label
from shared.domain import Prediction, Row, Tools
from shared.errors import Reject
from shared.event import Key
from shared.heads import SEVERAL
from shared.several import parse
from shared.store.read import StoredJudgement, StoredPrediction
from shared.store.tables import judgements

# Labels that a model decides on without giving them a probability of their own.
_NONE_OF_THESE = {"intent": "out_of_scope"}
_NAMED = 12  # known heads or targets that a refusal lists


class Lookups(Protocol):
    """What of the stored truth a judgement is held against."""

    async def prediction(self, prediction_id: str) -> StoredPrediction | None: ...

    async def judgement(self, judgement_id: str) -> StoredJudgement | None: ...


async def handle(request: feedback_pb2.FeedbackRequest, tools: Tools) -> feedback_pb2.FeedbackResult:
    """The judgement, accepted, or kept as a proposal where the model does not know its label.

    Raises:
        Reject: a field's own code (see `fields`), UNKNOWN_PREDICTION, UNKNOWN_HEAD, UNKNOWN_TARGET, UNKNOWN_JUDGEMENT.
        Unavailable: Postgres cannot be asked.
    """
    check(request)
    lookups: Lookups = tools.lookups
    prediction = await lookups.prediction(request.prediction_id)
    if prediction is None:
        raise Reject(
            "UNKNOWN_PREDICTION",
            "no result has this prediction_id; it is the answer.prediction_id of a result that predicts something",
            "prediction_id",
        )
    judged = _choose(prediction.answers, request.head, request.target)
    replaced = await _replaced(lookups, request, judged)
    several = judged.head in SEVERAL.get(prediction.key.domain, ())
    label = check_label(request.label, several, {judged.label, *judged.probabilities})
    known = label in (judged.label, _NONE_OF_THESE.get(judged.head)) or all(
        each in judged.probabilities for each in (parse(label) if several else (label,))
    )
    result = feedback_pb2.FeedbackResult(
        judgement_id=tools.key.prediction_id,
        status=feedback_pb2.JUDGEMENT_STATUS_ACCEPTED if known else feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL,
        domain=prediction.key.domain,
        predicted=judged.label,
        label=label,
        head=judged.head,
        target=judged.target,
    )
    result.answer.model.name, result.answer.model.version = prediction.model, prediction.model_version
    result.answer.why = _why(request.annotator, label, judged, known, replaced)
    return result


def _choose(answers: Sequence[Prediction], head: str, target: str) -> Prediction:
    """The answer that is judged: by default the first head, and its only target."""
    heads = list(dict.fromkeys(answer.head for answer in answers))
    head = head or heads[0]
    if head not in heads:
        raise Reject("UNKNOWN_HEAD", f"this prediction answers {_listed(heads)}", "head")
    of_head = {answer.target: answer for answer in answers if answer.head == head}
    if not target and len(of_head) == 1:
        return next(iter(of_head.values()))
    if target not in of_head:
        targets = [name for name in of_head if name]
        known = f"one of {_listed(targets)}" if targets else "empty, for this prediction has none"
        raise Reject("UNKNOWN_TARGET", f"target must be {known}", "target")
    return of_head[target]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


async def _replaced(
    lookups: Lookups, request: feedback_pb2.FeedbackRequest, judged: Prediction
) -> StoredJudgement | None:
    """The judgement that this one replaces, of the same answer; anybody may correct it, and both are kept."""
    if not request.supersedes:
        return None
    found = await lookups.judgement(request.supersedes)
    if found is None or (found.prediction_id, found.head, found.target) != (
        request.prediction_id,
        judged.head,
        judged.target,
    ):
        raise Reject(
            "UNKNOWN_JUDGEMENT", "supersedes must be the judgement_id of a judgement of the same answer", "supersedes"
        )
    return found


def _why(who: str, label: str, judged: Prediction, known: bool, replaced: StoredJudgement | None) -> str:
    about = f" of {judged.target}" if judged.target else ""
    said = f"the model said {judged.label}{about}; {who} says {label}"
    if label == judged.label:
        said = f"{who} confirms {judged.label}{about}"
    if replaced is not None:
        said += f", replacing {replaced.annotator}'s {replaced.label}"
    return said if known else f"{said}, a label the model does not know: kept as a proposal"


def facts(
    key: Key, request: feedback_pb2.FeedbackRequest, result: feedback_pb2.FeedbackResult, time: datetime
) -> list[Row]:
    """The judgement's row. `judged_at` is left to the database's clock: a caller cannot date it."""
    row = {
        "judgement_id": result.judgement_id,
        "prediction_id": request.prediction_id,
        "head": result.head,
        "target": result.target,
        "domain": result.domain,
        "label": result.label,
        "proposed": result.status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL,
        "annotator": request.annotator,
        "caller": result.answer.event.caller or "anonymous",
        "confidence": request.confidence or None,
        "seconds": request.seconds or None,
        "comment": request.comment,
        "supersedes": request.supersedes or None,
    }
    return [(judgements, row)]
