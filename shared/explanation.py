"""An answer's explanation as a result carries it: in words rather than tokens, capped, and without a word of the request."""

import math

import numpy as np
from google.protobuf.message import Message

from protos import event_pb2
from shared.inference.contract import Inference
from shared.words import Scored, merge, strongest

MOST_WORDS = 128  # of one result, however many explanations it has: some 2 KB
MOST_CELLS = 1024  # of a map: 4 KB; a finer one is left out
DIGITS = 4  # of a score, after the point


def add_explanation(result: Message, answer: Inference, text: str, *, target: str = "", of: int = 1) -> None:
    """Adds what `answer` has of one to the result; nothing where it has none.

    Args:
        text: what the person wrote: the row's text, or its pair where it had one; then its text is the name of what was asked about.
        target: what is judged, where one result judges several.
        of: how many explanations the result will have, which share its room.
    """
    told = answer.attribution
    if told is None:
        return
    paired = told.text_pair is not None
    words = merge(text, told.text if told.text_pair is None else told.text_pair)
    kept = [_rounded(word) for word in strongest(words, max(1, MOST_WORDS // of))]
    about = round(sum(piece.score for piece in told.text), DIGITS) if paired else 0.0
    rest = told.lead - about - sum(word.score for word in kept)
    result.answer.explanations.add(  # type: ignore[attr-defined]
        head=told.head,
        label=told.label,
        target=target,
        lead=told.lead,
        rest=round(rest, DIGITS),
        about=about,
        words=[event_pb2.Word(start=word.start, end=word.end, score=word.score) for word in kept],
        left_out=len(words) - len(kept),
    )


def add_map(result: Message, answer: Inference, head: str) -> None:
    """Adds what `answer` has of a heat map of this head to the result; nothing where it has none."""
    cells = answer.extra.get("heat_map")
    if cells is None or cells.size > MOST_CELLS or not (lead := find_lead(answer, head)):
        return
    told = result.answer.explanations.add(  # type: ignore[attr-defined]
        head=head, label=answer.ranking(head)[0][0], lead=round(lead, DIGITS)
    )
    told.seen.down, told.seen.across = cells.shape
    told.seen.scores.extend(np.round(cells.ravel().astype(np.float64), DIGITS).tolist())
    told.rest = round(told.lead - sum(told.seen.scores), DIGITS)


def find_lead(answer: Inference, head: str) -> float:
    """How far the most probable label's calibrated logit lies above its rivals', each weighed by how probable it is beside the others.

    Of a head whose labels have no rivals: its own logit. 0 where probabilities are too near 0 or 1 to say.
    """
    (_, best), *rivals = answer.ranking(head)
    if head in answer.card.several:
        return math.log(best / (1 - best)) if 0 < best < 1 else 0.0
    total = sum(p for _, p in rivals)
    return math.log(best) - sum(p * math.log(p) for _, p in rivals if p > 0) / total if total > 0 else 0.0


def _rounded(word: Scored) -> Scored:
    return word._replace(score=round(word.score, DIGITS))
