"""Sub-word tokens by the Rust tokenizers, which release the GIL."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers

from shared.nn.tokens import Located, Tokens


class SubwordTokenizer:
    def __init__(self, path: Path, max_tokens: int) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    @property
    def vocabulary(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[Tokens]:
        if pairs is None:
            return [_tokens(encoding, paired=False) for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        batch = [(text, pair) if pair else text for text, pair in zip(texts, pairs, strict=True)]
        encodings = self._tokenizer.encode_batch_fast(batch)
        return [_tokens(encoding, paired=bool(pair)) for encoding, pair in zip(encodings, pairs, strict=True)]

    def locate(self, text: str, pair: str = "") -> Located:
        encoding = self._tokenizer.encode(text, pair or None)
        places = zip(encoding.sequence_ids, encoding.offsets, strict=True)
        pieces = tuple(None if which is None else (which, start, end) for which, (start, end) in places)
        return Located(
            _tokens(encoding, paired=bool(pair)), pieces, tuple((at, at + 1) for at in range(len(encoding.ids)))
        )


def _tokens(encoding: tokenizers.Encoding, *, paired: bool) -> Tokens:
    return Tokens(
        np.array(encoding.ids, np.int64),
        np.array(encoding.type_ids, np.int64) if paired else None,
        truncated=bool(encoding.overflowing),
    )
