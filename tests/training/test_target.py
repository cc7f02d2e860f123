"""Reading a headline for the sake of one name in it."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.nn.target import TargetTokenizer
from shared.nn.tokens import Tokens


class Recorder:
    """Keeps what it is given to read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        self.read += texts
        return []


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("Arm", "Arm sues Armada over Arm's alarm", "[T] sues Armada over [T]'s alarm"),
        ("arm", "A false alarm", "[T] A false alarm"),
        ("诺德", "诺德航运被罚", "[T]航运被罚"),
        ("A+B", "A+B buys AAB", "[T] buys AAB"),
    ],
)
def test_a_name_is_marked_where_it_stands_alone(name: str, text: str, read: str) -> None:
    """A shorter name inside a longer word is not meant; a text without the name has the mark put before it."""
    inner = Recorder()
    TargetTokenizer(inner, "[T]").encode([name], [text])
    assert inner.read == [read]


def mark_by_expression(name: str, text: str) -> str:
    """As a regular expression says it: nothing Latin right before a Latin beginning, or right after such an end."""
    latin = re.compile(r"[A-Za-z0-9]")
    before = r"(?<![A-Za-z0-9])" if latin.match(name[0]) else ""
    after = r"(?![A-Za-z0-9])" if latin.match(name[-1]) else ""
    marked, found = re.subn(f"{before}{re.escape(name)}{after}", "[T]", text)
    return marked if found else f"[T] {text}"


FEW = some.text("aB1 诺é-", max_size=24)  # few characters: names are found, joined, overlapping


@given(some.one_of(FEW, some.text(max_size=4)).filter(bool), some.one_of(FEW, some.text()), FEW)
def test_a_name_is_found_where_a_regular_expression_finds_it(name: str, text: str, rest: str) -> None:
    """Whatever the names and texts, also those that hold the name for certain."""
    for read in (f"{text} ", f"{text}{name}{rest}", name * 3):
        inner = Recorder()
        TargetTokenizer(inner, "[T]").encode([name], [read])
        assert inner.read == [mark_by_expression(name, read)]
