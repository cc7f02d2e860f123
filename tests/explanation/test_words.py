"""What tokens say, said of words: of any text, whatever is written in it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.words import Scored, merge, strongest


def pieces(text: str, *spans: tuple[int, int]) -> list[str]:
    """The words that tokens at `spans` are part of, each of which says 1."""
    return [text[word.start : word.end] for word in merge(text, [Scored(*span, 1.0) for span in spans])]


@pytest.mark.parametrize(
    ("text", "spans", "words"),
    [
        ("refund", [(0, 3), (3, 6)], ["refund"]),
        ("don't pay", [(0, 3), (3, 4), (4, 5), (6, 9)], ["don't", "pay"]),
        ("1,000.50 now", [(0, 1), (1, 2), (2, 5), (5, 6), (6, 8), (9, 12)], ["1,000.50", "now"]),
        ("re-send!", [(0, 2), (2, 3), (3, 7), (7, 8)], ["re", "-", "send", "!"]),
        ("我的卡丢了", [(0, 1), (1, 2), (2, 4), (4, 5)], ["我", "的", "卡丢", "了"]),
        ("5G网络", [(0, 1), (1, 2), (2, 4)], ["5G", "网络"]),
        ("हिन्दी में", [(0, 1), (2, 3), (4, 5), (7, 8)], ["हिन्दी", "में"]),
        ("e\u0301te\u0301", [(0, 1), (2, 3)], ["e\u0301te\u0301"]),
        ("👩\u200d👩\u200d👧 👍🏽", [(0, 1), (2, 3), (4, 5), (6, 7)], ["👩\u200d👩\u200d👧", "👍🏽"]),
        ("Nordhavn Shipping's loss", [(0, 17), (17, 19), (20, 24)], ["Nordhavn Shipping's", "loss"]),
        (" my card ", [(0, 3), (3, 8), (8, 9)], ["my", "card"]),
        ("a" * 50, [(0, 5), (5, 9)], ["a" * 50]),
        ("short", [(0, 99)], ["short"]),
    ],
)
def test_pieces_become_words(text: str, spans: list[tuple[int, int]], words: list[str]) -> None:
    """Where people see words; what they see as one sign stays whole; Chinese keeps the model's own pieces."""
    assert pieces(text, *spans) == words


@given(st.text(max_size=40), st.data())
@settings(max_examples=150, deadline=None)
def test_of_any_text_and_tokens_nothing_is_lost_and_words_are_apart(text: str, data: st.DataObject) -> None:
    """Every token but those of space is in a word, words lie in order without overlap, and scores add up."""
    cut = st.integers(0, len(text))
    tokens = [Scored(*sorted(data.draw(st.tuples(cut, cut))), 1.0) for _ in range(data.draw(st.integers(0, 8)))]
    words = merge(text, tokens)
    visible = [token for token in tokens if text[token.start : token.end].strip()]
    assert sum(word.score for word in words) == len(visible)
    assert all(one.end <= other.start for one, other in itertools.pairwise(words))
    assert all(0 <= word.start < word.end <= len(text) for word in words)
    for token in visible:
        inside = text[token.start : token.end]
        start = token.start + len(inside) - len(inside.lstrip())
        end = token.end - (len(inside) - len(inside.rstrip()))
        assert any(word.start <= start and end <= word.end for word in words)


def test_the_strongest_words_keep_their_order() -> None:
    """For or against counts alike."""
    words = [Scored(0, 1, 0.1), Scored(2, 3, -2.0), Scored(4, 5, 0.0), Scored(6, 7, 1.0)]
    assert strongest(words, 2) == [words[1], words[3]]
    assert strongest(words, 4) == words
