"""Rows of text, checked one by one: a bad row costs the others nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from services.inference.tensors import Tensor, TensorSpec

MAX_TEXT_BYTES = 32 * 1024
MAX_LANGUAGE_BYTES = 35  # RFC 5646, section 4.4.1

INPUTS = (
    TensorSpec("text", "BYTES"),
    TensorSpec("text_pair", "BYTES", optional=True),
    TensorSpec("language", "BYTES", optional=True),
)


@dataclass(slots=True)
class Sentences:
    """Decoded rows; those in `errors` hold empty strings."""

    texts: list[str]
    pairs: list[str] | None
    languages: list[str]
    errors: dict[int, str] = field(default_factory=dict)  # row -> "CODE: why"


def read_sentences(rows: int, tensors: Mapping[str, Tensor]) -> Sentences:
    errors: dict[int, str] = {}
    columns = {name: cast(list[bytes], tensors[name]) for name in ("text", "text_pair", "language") if name in tensors}
    texts = _decode(columns["text"], "text", MAX_TEXT_BYTES, errors)
    pairs = _decode(columns["text_pair"], "text_pair", MAX_TEXT_BYTES, errors) if "text_pair" in columns else None
    languages = [""] * rows
    if "language" in columns:
        languages = _decode(columns["language"], "language", MAX_LANGUAGE_BYTES, errors)
    for row, text in enumerate(texts):
        if row not in errors and not text.strip():
            errors[row] = "TEXT_EMPTY: text must hold at least one visible character"
    return Sentences(texts, pairs, languages, errors)


def _decode(column: Sequence[bytes], name: str, limit: int, errors: dict[int, str]) -> list[str]:
    decoded = []
    for row, raw in enumerate(column):
        text = ""
        if len(raw) > limit:
            errors.setdefault(row, f"{name.upper()}_TOO_LONG: {name} has {len(raw):,} bytes; the limit is {limit:,}")
        else:
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                errors.setdefault(row, f"{name.upper()}_NOT_UTF8: {name} is not UTF-8 at byte {error.start}")
        decoded.append(text)
    return decoded
