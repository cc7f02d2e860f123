"""Reading a text for the sake of one name in it: good news for one company can be bad news for another."""

import re
from collections.abc import Sequence

from shared.nn.tokens import Tokenizer, Tokens

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
