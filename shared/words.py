"""What a model says of tokens, said of words: tokens are pieces of the model's own, and people read words."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Scored(NamedTuple):
    """A stretch of a text, in Unicode characters from 0, and what it says for a label (or, below 0, against it)."""

    start: int
    end: int
    score: float


# Thai, Lao, Burmese, Khmer, Chinese, Japanese: written without spaces, so that what a model takes for a token has to do for a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_JOINERS = "\u200c\u200d"
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]{2}")
_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")
_INSIDE = re.compile(r"[^\W\d_]['’][^\W\d_]|\d[.,]\d")  # one character each side of what stands inside a word


def merge(text: str, tokens: Iterable[Scored]) -> list[Scored]:
    """The words that `tokens` are pieces of, each with the sum of its pieces' scores, in the order of the text.

    A token that spans several words makes one of them. Tokens of nothing but space are left out.
    """
    words: list[Scored] = []
    for token in sorted(tokens):
        start, end = _trim(text, token.start, token.end)
        if start == end:
            continue
        floor = words[-1].end if words else 0
        while start > floor and _joined(text, start):
            start -= 1
        if words and (start < floor or (start == floor and _joined(text, start))):
            start, _, before = words.pop()
            words.append(Scored(start, _reach(text, max(end, floor)), before + token.score))
        else:
            words.append(Scored(start, _reach(text, end), token.score))
    return words


def strongest(words: Sequence[Scored], most: int) -> list[Scored]:
    """Those of the largest scores, for or against, in the order of the text."""
    if len(words) <= most:
        return list(words)
    return sorted(sorted(words, key=lambda word: (-abs(word.score), word.start))[:most])


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Without space at either end; within the text."""
    end = min(end, len(text))
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, max(start, end)


def _reach(text: str, end: int) -> int:
    while end < len(text) and _joined(text, end):
        end += 1
    return end


def _joined(text: str, at: int) -> bool:
    """Whether the character at `at` and the one before it belong to one word, or are seen as one sign."""
    if at == 0:
        return False
    before, here = text[at - 1], text[at]
    if here.isspace():
        return False
    if before.isalnum() and here.isalnum() and before.isascii() and here.isascii():  # nearly always
        return True
    if here in _JOINERS or unicodedata.category(here).startswith("M") or _TONES.match(here):
        return not before.isspace()
    if before in _JOINERS or _FLAGS.match(before + here):
        return True
    if _wordy(here) and (_wordy(before) or unicodedata.category(before).startswith("M")):
        return not (_UNSPACED.match(before) or _UNSPACED.match(here))
    return any(_INSIDE.match(text, i) for i in (at - 1, at - 2) if i >= 0 and i + 3 <= len(text))


def _wordy(character: str) -> bool:
    return character.isalnum() or character == "_"
