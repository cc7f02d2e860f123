"""Reading a headline for the sake of one name in it."""

from collections.abc import Sequence

import pytest

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
