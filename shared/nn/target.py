"""Reading a text for the sake of one name in it: good news for one company can be bad news for another."""

import re
from collections.abc import Sequence
from functools import lru_cache

from shared.nn.tokens import Tokenizer, Tokens

_LATIN = re.compile(r"[A-Za-z0-9]")


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
        marked, found = _standing_alone(name).subn(lambda match: self._token, text)
        return marked if found else f"{self._token} {text}"


@lru_cache(maxsize=4096)
def _standing_alone(name: str) -> re.Pattern[str]:
    """The name where it is no part of a longer Latin word: "Arm", but not in "Armada". Chinese has no such bounds."""
    before = r"(?<![A-Za-z0-9])" if _LATIN.match(name[0]) else ""
    after = r"(?![A-Za-z0-9])" if _LATIN.match(name[-1]) else ""
    return re.compile(f"{before}{re.escape(name)}{after}")
