"""Where texts are tokenised."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from services.inference.text import FEW, SHORT
from shared.nn.subwords import SubwordTokenizer
from tests.inference.conftest import Running
from tests.inference.test_server import ask


@pytest.mark.parametrize(
    ("texts", "apart"),
    [
        (["my card"], False),
        (["my card"] * FEW, False),
        (["a"] * (FEW + 1), True),
        (["a" * (SHORT + 1)], True),
    ],
)
async def test_only_little_text_is_tokenised_on_the_event_loop(
    running: Running, monkeypatch: pytest.MonkeyPatch, texts: list[str], apart: bool
) -> None:
    """Hundreds of one-character texts would hold it up for milliseconds too."""
    encode, places = SubwordTokenizer.encode, list[bool]()

    def watch(self: SubwordTokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Any:
        places.append(threading.current_thread() is not threading.main_thread())
        return encode(self, texts, pairs)

    monkeypatch.setattr(SubwordTokenizer, "encode", watch)
    await running.stub.ModelInfer(ask("intent", *texts))
    assert places == [apart]
