"""Which words, or parts of an image, spoke for an answer and which against: for a person, with colour or without, and for a program."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.text import Text

from protos import event_pb2, imaging_pb2
from services.cli.answers.seen import draw
from shared.explanation import MOST_CELLS

_LISTED = 8  # words each way
_WHOLE = 600  # characters of a text that is shown whole; of a longer one, what lies around its strongest words
_SEEN, _AROUND = 12, 30  # those words, and characters on each side
_LONGEST = 24  # characters of a word in a list
_STRONG, _WEAK = 0.5, 0.15  # of the largest score: from here on on a ground, from here on in colour


def explain(told: event_pb2.Explanation, text: str) -> list[Text]:
    """The lines below an answer.

    Args:
        text: what was asked; the explanation knows only places in it.
    """
    scores = told.seen.scores or [word.score for word in told.words]
    totals = sum(score for score in scores if score > 0), sum(score for score in scores if score < 0)
    of = f" of {told.target}" if told.target else ""
    about = f", its name {told.about:+.2f}" if told.about else ""
    kind = "parts" if told.seen.scores else "words"
    headline = Text(f"{told.head}{of}: {told.label}", "bold").append(
        f"  lead {told.lead:+.2f} = {kind} for {totals[0]:+.2f}, against {totals[1]:+.2f}{about}, rest {told.rest:+.2f}",
        "not bold dim",
    )
    return [headline, *(draw(told) if told.seen.scores else _words(told, text))]


def _words(told: event_pb2.Explanation, text: str) -> list[Text]:
    """The text in colour, and its words each way."""
    lines = [Text("  ").append_text(_excerpt(text, told.words))]
    sides = [word for word in told.words if word.score > 0], [word for word in told.words if word.score < 0]
    for name, colour, words in zip(("for", "against"), ("green", "red"), sides, strict=True):
        lines.append(Text(f"  {name:<8}", colour).append(_list(words, text) or "no word", "default"))
    if told.left_out:
        weaker = f"{told.left_out:,} weaker word{'s' * (told.left_out > 1)}"
        lines.append(Text(f"  {weaker} not told apart: in the rest", "dim"))
    return lines


def _list(words: Sequence[event_pb2.Word], text: str) -> str:
    """Each word once, however often it stands there, the strongest first; words of no weight are left out."""
    scores: dict[str, list[float]] = {}
    for word in words:
        scores.setdefault(_short(text[word.start : word.end]), []).append(word.score)
    named = [(f"{word} ({len(each)}×)" if len(each) > 1 else word, sum(each)) for word, each in scores.items()]
    heavy = sorted((each for each in named if abs(each[1]) >= 0.005), key=lambda each: -abs(each[1]))
    if len(heavy) > _LISTED:
        heavy[_LISTED:] = [(f"{len(heavy) - _LISTED} more", sum(score for _, score in heavy[_LISTED:]))]
    return " · ".join(f"{word} {score:+.2f}" for word, score in heavy)


def _short(word: str) -> str:
    return _clean(word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…")


def _excerpt(text: str, words: Sequence[event_pb2.Word]) -> Text:
    """The text with its words coloured by score."""
    most = max((abs(word.score) for word in words), default=0.0)
    shown, at = Text(), 0
    for start, end in _windows(len(text), words):
        if start > at:
            shown.append(" … " if at else "… ", "dim")
        at = start
        for word in words:
            if start <= word.start < end:
                shown.append(_clean(text[at : word.start]))
                stop = min(word.end, max(end, word.start + _LONGEST))
                shown.append(_clean(text[word.start : stop]), _style(word.score / most if most else 0.0))
                at = stop
        shown.append(_clean(text[at:end]))
        at = max(at, end)
    return shown.append(" …", "dim") if at < len(text) else shown


def _windows(length: int, words: Iterable[event_pb2.Word]) -> Iterator[tuple[int, int]]:
    """From where to where a text is shown."""
    if length <= _WHOLE:
        yield 0, length
        return
    strongest = sorted(sorted(words, key=lambda word: -abs(word.score))[:_SEEN], key=lambda word: word.start)
    start = end = 0
    for word in strongest:
        if word.start - _AROUND > end:
            if end:
                yield start, end
            start = word.start - _AROUND
        end = min(length, min(word.end, word.start + _LONGEST) + _AROUND)
    yield start, end or min(length, _WHOLE)


def _style(strength: float) -> str:
    """Of -1 (all against) to 1: on a ground, in colour, or plain."""
    if abs(strength) < _WEAK:
        return ""
    if abs(strength) < _STRONG:
        return "green" if strength > 0 else "red"
    return "bold black on green" if strength > 0 else "bold white on red"


def _clean(text: str) -> str:
    """Without what would move a terminal's cursor or turn its text around."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else "" if c in _TURNING else c for c in text)


_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def as_json(reply: Message, text: str) -> dict[str, Any]:
    """The reply in JSON, and in its explanations every number and the words themselves."""
    shown: dict[str, Any] = json_format.MessageToDict(reply, preserving_proto_field_name=True)
    if reply.WhichOneof("outcome") != "result":
        return shown
    answer: event_pb2.Answer = reply.result.answer  # type: ignore[attr-defined]
    if answer.explanations:
        shown["result"]["answer"]["explanations"] = [_every_number(told, text) for told in answer.explanations]
    return shown


def _every_number(told: event_pb2.Explanation, text: str) -> dict[str, Any]:
    shown: dict[str, Any] = json_format.MessageToDict(
        told, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for word, each in zip(shown["words"], told.words, strict=True):
        word["word"] = text[each.start : each.end]
    return shown


def why_missing(reply: Message, head: str) -> str:
    """Why the result in `reply` does not explain `head`, which was asked for; empty if it does."""
    answer: event_pb2.Answer = reply.result.answer  # type: ignore[attr-defined]
    if any(told.head == head for told in answer.explanations):
        return ""
    if not answer.model.name:
        return "no model answered, so that there is nothing to explain: see why above"
    other = "ask without --id, or with another"
    if head == "finding" and _not_assessable(reply):
        again = f"; {other}" if reply.known else ""  # type: ignore[attr-defined]
        return f"the picture is not assessable, so that no finding is explained; --head quality explains why{again}"
    if reply.known:  # type: ignore[attr-defined]
        had = ", ".join(sorted({told.head for told in answer.explanations}))
        return (
            "this event had been settled before, and its stored answer "
            + (f"explains {had}, not {head}" if had else "has no explanation: none was asked for then")
            + f"; {other}"
        )
    finer = f", or a map of more than {MOST_CELLS:,} cells" if isinstance(reply, imaging_pb2.ImagingReply) else ""
    return f"model {answer.model.name} {answer.model.version} gives no explanation of {head}{finer}"


def _not_assessable(reply: Message) -> bool:
    if not isinstance(reply, imaging_pb2.ImagingReply):
        return False
    return reply.result.decision == imaging_pb2.DECISION_NOT_ASSESSABLE
