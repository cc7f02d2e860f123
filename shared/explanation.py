"""An answer's explanation as a result carries it: in words rather than tokens, capped, and without a word of the request."""

from google.protobuf.message import Message

from protos import event_pb2
from shared.inference.contract import Inference
from shared.words import Scored, merge, strongest

MOST_WORDS = 128  # of one result: some 2 KB
LEAST_WORDS = 16  # of each explanation, however many there are
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
    kept = [_rounded(word) for word in strongest(words, max(LEAST_WORDS, MOST_WORDS // of))]
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


def _rounded(word: Scored) -> Scored:
    return word._replace(score=round(word.score, DIGITS))
