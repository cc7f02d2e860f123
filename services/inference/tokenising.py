"""Texts to tokens: a text that the tokeniser fails on costs the others nothing."""

import logging
from collections.abc import Sequence

from shared.nn.tokens import Tokenizer, Tokens

log = logging.getLogger(__name__)

WARM = "warm"  # a text that every model has answered before it is live


def tokenise(tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None) -> Sequence[Tokens | None]:
    """None for a text that the tokeniser fails on alone, though it takes others.

    Raises:
        RuntimeError: it takes no others either.
    """
    try:
        return tokenizer.encode(texts, pairs)
    except BaseException:  # a panic of tokenizers' Rust is no Exception; nothing else is raised here that is none
        log.exception("tokenising %d texts failed; trying them one by one", len(texts))
    if _try(tokenizer, WARM, None) is None:
        raise RuntimeError("the tokeniser fails on any text")
    return [_try(tokenizer, text, pairs[i : i + 1] if pairs else None) for i, text in enumerate(texts)]


def _try(tokenizer: Tokenizer, text: str, pair: Sequence[str] | None) -> Tokens | None:
    try:
        return tokenizer.encode([text], pair)[0]
    except BaseException:  # as above
        return None
