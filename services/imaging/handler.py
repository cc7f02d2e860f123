"""What an image shows, how sure that is, and whether a person must read it."""

import math
from collections.abc import Mapping, Sequence

from protos import event_pb2, imaging_pb2
from services.imaging.fitness import Objection, find_objection
from services.imaging.images import Images
from shared.domain import Prediction, Tools
from shared.errors import Reject
from shared.explanation import add_map
from shared.inference.contract import Inference
from shared.picture.picture import Facts

NOTICE = "Research use, not a medical device"
MAX_STUDY_BYTES = 256
_NEVER = 1.01  # no probability reaches it
_URGENCY: Mapping[
    int, tuple[int, int]
] = {  # rank at the decoders, priority at the inference service (1: most urgent, 0: usual)
    imaging_pb2.PRIORITY_STAT: (0, 1),
    imaging_pb2.PRIORITY_UNSPECIFIED: (1, 0),
    imaging_pb2.PRIORITY_ROUTINE: (1, 0),
    imaging_pb2.PRIORITY_BATCH: (2, 9),
}


async def handle(request: imaging_pb2.ImagingRequest, tools: Tools) -> imaging_pb2.ImagingResult:
    """Rejects with STUDY_TOO_LONG, PRIORITY_UNKNOWN, and what `Images.read` rejects with."""
    rank, priority = check(request)
    images: Images = tools.lookups
    picture = await images.read(request, rank)
    if objection := find_objection(picture.facts):
        return refuse(picture.facts, objection)
    answer = await tools.infer("imaging", {"image": picture.pixels}, priority=priority, explain=tools.explain)
    result = compose(answer, picture.facts)
    if result.finding or tools.explain == "quality":  # no word of a finding that must not be judged
        add_map(result, answer, tools.explain)
    return result


def check(request: imaging_pb2.ImagingRequest) -> tuple[int, int]:
    """The request's rank and priority."""
    if len(request.study.encode()) > MAX_STUDY_BYTES:
        raise Reject("STUDY_TOO_LONG", f"study may have {MAX_STUDY_BYTES} bytes", "study")
    if request.priority not in _URGENCY:
        names = ", ".join(imaging_pb2.Priority.keys())
        raise Reject("PRIORITY_UNKNOWN", f"priority must be one of {names}", "priority")
    return _URGENCY[request.priority]


def refuse(facts: Facts, objection: Objection) -> imaging_pb2.ImagingResult:
    """The result for a picture that no model may judge."""
    result = imaging_pb2.ImagingResult(
        decision=imaging_pb2.DECISION_NOT_ASSESSABLE,
        decision_reason=objection.code,
        image=describe(facts),
        notice=NOTICE,
    )
    result.answer.why = f"not assessable: {objection.sentence}" + which_frame(facts)
    return result


def compose(answer: Inference, facts: Facts) -> imaging_pb2.ImagingResult:
    """The result for one picture's calibrated distributions, by the thresholds of the answering version.

    `quality.poor`: from this probability of poor quality on, the picture is not assessable. `finding.report`, or where there is one
    `finding.report.<label>`: from this confidence on, the finding may be reported. A version without a threshold never says so.
    """
    quality = answer.ranking("quality") if "quality" in answer.card.labels else []
    poor, limit = dict(quality).get("poor", 0.0), answer.card.thresholds.get("quality.poor", _NEVER)
    if poor >= limit:
        sentence = (
            f"its quality is poor (probability {poor:.0%}, limit {limit:.0%}), or it is no frontal chest radiograph"
        )
        result = refuse(facts, Objection("POOR_QUALITY", sentence))
    else:
        result = judge(answer, facts)
    result.quality.extend(scores(quality))
    result.answer.model.CopyFrom(event_pb2.Model(name=answer.card.model, version=answer.card.version))
    return result


def judge(answer: Inference, facts: Facts) -> imaging_pb2.ImagingResult:
    ranking = answer.ranking("finding")
    finding, confidence = ranking[0]
    thresholds = answer.card.thresholds
    limit = thresholds.get(f"finding.report.{finding}", thresholds.get("finding.report", _NEVER))
    second = f", then {ranking[1][0]} {ranking[1][1]:.1%}"
    if confidence >= limit:
        decision, reason = imaging_pb2.DECISION_REPORT, "CONFIDENT"
        why = f"{finding} {confidence:.1%}{second}: reaches the {limit:.1%} from which it may be reported"
    elif limit < _NEVER:
        decision, reason = imaging_pb2.DECISION_REFER, "LOW_CONFIDENCE"
        why = f"most like {finding} {confidence:.1%}{second}: below the {limit:.1%} from which it may be reported; a person must read it"
    else:
        decision, reason = imaging_pb2.DECISION_REFER, "NO_THRESHOLD"
        why = f"most like {finding} {confidence:.1%}{second}: this model has no threshold for reporting; a person must read it"
    result = imaging_pb2.ImagingResult(
        finding=finding,
        confidence=confidence,
        probabilities=scores(ranking),
        uncertainty=uncertainty([probability for _, probability in ranking]),
        decision=decision,
        decision_reason=reason,
        image=describe(facts),
        notice=NOTICE,
    )
    result.answer.why = why + which_frame(facts)
    return result


def uncertainty(probabilities: Sequence[float]) -> float:
    """Normalised entropy, -sum p ln p / ln n: 0 is certain, 1 knows nothing."""
    entropy = -sum(p * math.log(p) for p in probabilities if p > 0)
    return min(1.0, max(0.0, entropy / math.log(len(probabilities))))


def describe(facts: Facts) -> imaging_pb2.ImageFacts:
    return imaging_pb2.ImageFacts(
        format=facts.format,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        modality=facts.modality,
        photometric=facts.photometric,
    )


def which_frame(facts: Facts) -> str:
    return f"; only frame {facts.frame + 1} of {facts.frames} was read" if facts.frames > 1 else ""


def scores(ranking: Sequence[tuple[str, float]]) -> list[event_pb2.Score]:
    return [event_pb2.Score(label=label, probability=probability) for label, probability in ranking]


def predictions(result: imaging_pb2.ImagingResult) -> list[Prediction]:
    """What a person can judge: the finding, where there is one, and the quality, where a model saw it."""
    found = []
    if result.finding:
        found.append(Prediction("finding", result.finding, {s.label: s.probability for s in result.probabilities}))
    if result.quality:
        poor = result.decision == imaging_pb2.DECISION_NOT_ASSESSABLE
        found.append(
            Prediction("quality", "poor" if poor else "good", {s.label: s.probability for s in result.quality})
        )
    return found


def keep(request: imaging_pb2.ImagingRequest) -> bytes:
    """The request without an inline image, which would be the only copy of a person's picture outside a store that can erase it."""
    kept = imaging_pb2.ImagingRequest()
    kept.CopyFrom(request)
    if kept.WhichOneof("image") == "inline":
        kept.ClearField("inline")
    return kept.SerializeToString()
