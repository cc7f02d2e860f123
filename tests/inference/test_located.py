"""Tokens and the places in the text that they were made of."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.nn import located
from shared.nn.charngram import NgramConfig, NgramTokenizer
from shared.nn.located import gather
from shared.nn.subwords import SubwordTokenizer
from shared.nn.target import TargetTokenizer
from shared.nn.tokens import Tokenizer, Tokens
from tests.inference.bundles import WORDS, write_tokenizer


@pytest.fixture(scope="module", params=["words", "n-grams", "words, target", "n-grams, target"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    kind: str = request.param
    inner: Tokenizer = SubwordTokenizer(path, 24)
    if kind.startswith("n-grams"):
        inner = NgramTokenizer(NgramConfig(64, 8), 24)
    return TargetTokenizer(inner, "refund" if "words" in kind else "\ue000") if "target" in kind else inner


def same(one: Tokens, other: Tokens) -> bool:
    types = [None if each.types is None else each.types.tolist() for each in (one, other)]
    return one.ids.tolist() == other.ids.tolist() and types[0] == types[1] and one.truncated == other.truncated


texts = st.text(max_size=40) | st.lists(st.sampled_from([*WORDS, "Acme", "京", "ﬁ", "é", "İ", "각"])).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(texts, texts)
def test_they_are_the_tokens_that_are_classified(tokenizer: Tokenizer, text: str, pair: str) -> None:
    """The same ids whatever the text; each piece lies within its text, and what all of them say adds up."""
    if not text.strip():
        return
    found = tokenizer.locate(text, pair)
    (expected,) = tokenizer.encode([text], [pair])
    assert same(found.tokens, expected)
    assert len(found.parts) == len(expected)
    lengths = (len(text), len(pair))
    for piece in found.pieces:
        assert piece is None or 0 <= piece[1] <= piece[2] <= lengths[piece[0]]
    pieces, rest = gather(found, [1.0] * len(expected))
    assert sum(pieces.values()) + rest == pytest.approx(len(expected))


def read(tokenizer: Tokenizer, text: str, pair: str = "") -> list[str]:
    pieces, _ = gather(tokenizer.locate(text, pair), [1.0] * len(tokenizer.encode([text], [pair])[0]))
    return [(text, pair)[which][start:end] for which, start, end in pieces]


def test_words_are_where_they_stand(tmp_path: Path) -> None:
    """In the text and in its pair; special tokens stand nowhere."""
    write_tokenizer(tmp_path / "t.json")
    words = SubwordTokenizer(tmp_path / "t.json", 32)
    assert read(words, "Where  is 京", "my card") == ["Where", "is", "京", "my", "card"]


def test_a_name_that_was_replaced_is_where_it_was(tmp_path: Path) -> None:
    """Every time it occurs; where it does not, it is the name itself."""
    write_tokenizer(tmp_path / "t.json")
    marked = TargetTokenizer(SubwordTokenizer(tmp_path / "t.json", 32), "refund")
    pieces, _ = gather(marked.locate("Acme Bank", "the Acme Bank is late, Acme Bank"), [1.0] * 8)
    assert list(pieces) == [(1, 0, 3), (1, 4, 13), (1, 14, 16), (1, 17, 21), (1, 21, 22), (1, 23, 32)]
    pieces, _ = gather(marked.locate("Acme", "my card"), [1.0] * 5)
    assert list(pieces) == [(0, 0, 4), (1, 0, 2), (1, 3, 7)]


def test_what_is_cut_off_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a text as long as any that is taken, a request of many rows would hold up everyone for a second."""
    seen: list[str] = []
    monkeypatch.setattr(located, "_joins", lambda character: bool(seen.append(character)))
    text = "my card " * 4096
    found = NgramTokenizer(NgramConfig(64, 8), 24).locate(text)
    assert found.pieces == tuple((0, i, i + 1) for i in range(24))
    assert len(seen) < 30
    marked = TargetTokenizer(NgramTokenizer(NgramConfig(64, 8), 24), "\ue000")
    assert len(marked._places("card", text, 24)) == 24
    assert found.tokens.truncated


def test_characters_are_where_they_were_before_normalising() -> None:
    """A ligature is one character that became two, a letter and its accent are two that became one."""
    grams = NgramTokenizer(NgramConfig(64, 8, (1,)), 32)
    assert read(grams, "ﬁn e\u0301t") == ["ﬁ", "n", " ", "e\u0301", "t"]
    assert gather(grams.locate("ﬁ"), [0.0, 1.0, 1.0, 0.0])[0] == {(0, 0, 1): 2.0}
