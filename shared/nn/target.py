"""Reading a text for the sake of one name in it: good news for one company can be bad news for another."""

from collections.abc import Sequence

from shared.nn.tokens import Tokenizer, Tokens


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
        if name and name in text:
            return text.replace(name, self._token)
        return f"{self._token} {text}"
