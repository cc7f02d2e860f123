"""Requests with several topics, made of the starter texts: two utterances in one text have the intents of both."""

import json
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import pytest

from services.training import sources
from shared import heads

DOMAIN, HEAD = "topics", "topic"
INTENTS = 8


def declare(patch: pytest.MonkeyPatch) -> None:
    """A domain whose handler reads several right topics."""
    patch.setitem(cast(dict[str, Any], heads.NEEDED), DOMAIN, {HEAD: ()})
    patch.setitem(cast(dict[str, Any], heads.SEVERAL), DOMAIN, (HEAD,))


def rows(seed: int = 0) -> Iterator[tuple[str, str, list[str]]]:
    """(group, text, its topics): of none, one or two of the first intents, in English.

    An utterance stands alone and beside each of the two others of its group, and in no other group.
    """
    corpus = sources.read("intent")
    known = corpus.labels["intent"][:INTENTS]
    said = [e for e in corpus.examples if e.language == "en" and e.labels.get("intent", known[0]) in known]
    random.Random(seed).shuffle(said)
    for at in range(0, len(said) - 2, 3):
        for together in [*combinations(said[at : at + 3], 1), *combinations(said[at : at + 3], 2)]:
            topics = {e.labels["intent"] for e in together if "intent" in e.labels}
            yield f"group {at}", " ".join(e.text for e in together), sorted(topics)


def write_jsonl(path: Path, seed: int = 0) -> Path:
    lines = [
        json.dumps({"id": str(number), "pair": group, "language": "en", "text": text, HEAD: topics})
        for number, (group, text, topics) in enumerate(rows(seed))
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
