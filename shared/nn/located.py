"""Where characters come from, once a text was normalised; and what tokens say of the pieces of a text."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from shared.nn.tokens import Located, Span


def locate_characters(
    text: str, pair: str, between: str, read: str, normalise: Callable[[str], str]
) -> tuple[tuple[Span | None, ...], list[int]]:
    """(pieces, for each character of `read` the piece that it belongs to).

    Args:
        between: stands between the text and its pair, where there is one.
        read: what was left of `normalise` of all of it, after what is too long was cut off.
    """
    whole = text + between + pair if pair else text
    pieces: list[Span | None] = []
    of: list[int] = []
    for start, end in _clusters(whole):
        if len(of) >= len(read):
            break
        made = len(normalise(whole[start:end]))
        if made:
            of += [len(pieces)] * made
            pieces.append(_span(start, end, len(text)))
    if len(of) < len(read):  # characters that join only in company: rare, and then the text is one piece
        return ((0, 0, len(text)),), [0] * len(read)
    return tuple(pieces), of[: len(read)]


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    """Characters, each with the marks that follow it: what normalising joins. As far as they are asked for: texts may be long."""
    start = 0
    for i in range(1, len(text)):
        if not _joins(text[i]):
            yield start, i
            start = i
    if text:
        yield start, len(text)


def _joins(character: str) -> bool:
    return unicodedata.combining(character) != 0 or "\u1160" <= character <= "\u11ff"  # Hangul vowels and finals


def _span(start: int, end: int, first: int) -> Span | None:
    """In the text, whose length is `first`, or in its pair; None between them."""
    if start < first:
        return (0, start, min(end, first))
    return (1, start - first - 1, end - first - 1) if start > first else None


def gather(located: Located, scores: Sequence[float]) -> tuple[dict[Span, float], float]:
    """(the score of every piece, what is left for none): a token's score is shared equally by its pieces.

    Args:
        scores: one for each token.
    """
    found: dict[Span, float] = {}
    rest = 0.0
    for (start, end), score in zip(located.parts, scores, strict=True):
        if start == end:
            rest += score
        for piece in located.pieces[start:end]:
            if piece is None or piece[1] == piece[2]:
                rest += score / (end - start)
            else:
                found[piece] = found.get(piece, 0.0) + score / (end - start)
    return dict(sorted(found.items())), rest
