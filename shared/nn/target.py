"""Reading a text for the sake of one name in it: good news for one company can be bad news for another."""

import re
from collections.abc import Sequence

from shared.nn.tokens import Located, Span, Tokenizer, Tokens

_GAP = re.compile(
    r"(?<![A-Za-z0-9])|(?![A-Za-z0-9])"
)  # before, after or between characters, unless inside a Latin word
_MARK = "\ud800"  # half a character: text that was read as UTF-8 holds none


class TargetTokenizer:
    """Reads a pair (name, text) as the text alone with every occurrence of the name replaced by one token.

    So what is learned of a target holds for names never seen before, and the encoder can pool over the target's own positions.
    A text that does not hold the name has the token put before it. Texts without a pair are read as they are.
    """

    def __init__(self, inner: Tokenizer, token: str) -> None:
        self._inner, self._token = inner, token

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        if pairs is None:
            return self._inner.encode(texts)
        marked = [self._mark(text, pair) if pair else text for text, pair in zip(texts, pairs, strict=True)]
        return self._inner.encode(marked)

    def locate(self, text: str, pair: str = "") -> Located:
        """What stands in for the name is located where the name is."""
        if not pair:
            return self._inner.locate(text)
        found = self._inner.locate(self._mark(text, pair))
        places = self._places(text, pair, max((piece[2] for piece in found.pieces if piece), default=0))
        pieces = tuple(piece and _trace(places, piece[1], piece[2]) for piece in found.pieces)
        return Located(found.tokens, pieces, found.parts)

    def _places(self, name: str, text: str, end: int) -> list[Span]:
        """Of every character of the marked text, where it comes from; up to `end`, for most of a long text is cut off."""
        parts = _split(name, text)
        places: list[Span] = [(0, 0, len(name))] * len(self._token) + [(1, 0, 0)] if len(parts) == 1 else []
        at = 0
        for part in parts:
            if at:
                places += [(1, at - len(name), at)] * len(self._token)
            left = max(end - len(places), 0)
            places += [(1, i, i + 1) for i in range(at, at + min(len(part), left))]
            if left <= len(part):
                break
            at += len(part) + len(name)
        return places

    def _mark(self, name: str, text: str) -> str:
        parts = _split(name, text)
        return self._token.join(parts) if len(parts) > 1 else f"{self._token} {text}"


def _split(name: str, text: str) -> list[str]:
    """What lies between the occurrences of the name, where it is no part of a longer Latin word: "Arm", but not in "Armada".

    Chinese has no such bounds. With every gap marked, an occurrence is one that begins and ends at marks: plain search finds it, in
    time that grows with the texts. An expression of the name itself would take 50 ms to compile for the longest that are taken.
    """
    if name not in text:
        return [text]
    twice = _MARK * 2  # of which either neighbour takes one
    sought = _GAP.sub(twice, name)[1:-1]
    return [part.replace(_MARK, "") for part in _GAP.sub(twice, text).split(sought)]


def _trace(places: Sequence[Span], start: int, end: int) -> Span:
    """A stretch of the marked text, in the texts that it was made of."""
    if start >= end:  # nothing of it: some tokenisers make tokens that stand for no character
        return (1, 0, 0)
    inside = places[start:end]
    of = inside[-1][0]
    mine = [place for place in inside if place[0] == of]
    return (of, mine[0][1], mine[-1][2])
