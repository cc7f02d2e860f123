"""Labelled texts, from files or from people."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.training import split
from shared.heads import NEEDED, SEVERAL, strangers
from shared.several import parse

OUT_OF_SCOPE = "out_of_scope"
SENTIMENTS = ("negative", "neutral", "positive")
SCOPES = ("in_scope", OUT_OF_SCOPE)
_FIXED = {"sentiment": SENTIMENTS, "severity": NEEDED["risk"]["severity"], "scope": SCOPES}
_HEADS = {  # of domains with more heads than their handlers cannot do without
    "intent": ("intent", "scope", "sentiment"),
    "risk": ("sentiment", "severity", "event"),
}


class DataError(Exception):
    """The data cannot be trained on; the message names file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row as the model will see it, with what is known of it."""

    id: str
    entity: str  # what the split goes by
    language: str
    text: str  # risk: the issuer's name, as it stands in the headline
    labels: Mapping[
        str, str
    ]  # head -> label, or all right ones, joined; a head without one does not learn from this row
    text_pair: str = ""  # risk: the headline
    weight: float = 1.0
    judgements: tuple[str, ...] = ()  # ids; empty: not from people's feedback
    corrects: bool = False  # the judgement differs from what the live model had said

    @property
    def part(self) -> split.Part:
        return split.part(self.entity)


@dataclass(frozen=True, slots=True)
class Corpus:
    """All that one training run may look at, and where it came from.

    labels: head -> labels in their order; the first head is the one that matters most.
    files: path as given -> sha256.
    """

    domain: str
    labels: Mapping[str, tuple[str, ...]]
    examples: Sequence[Example]
    files: Mapping[str, str]

    @property
    def several(self) -> frozenset[str]:
        """The heads of which several labels may be right."""
        return frozenset(SEVERAL.get(self.domain, ())) & self.labels.keys()

    def where(self, *parts: split.Part, language: str = "") -> list[Example]:
        return [e for e in self.examples if e.part in parts and language in ("", e.language)]

    @property
    def languages(self) -> list[str]:
        """The most frequent first, then by name."""
        names = [example.language for example in self.examples]
        return sorted(set(names), key=lambda name: (-names.count(name), name))

    def manifest(self) -> dict[str, Any]:
        """What vouches for the data, as JSON: enough to make the same set again and to find everything it was made of."""
        rows = hashlib.sha256()
        for example in sorted(self.examples, key=lambda e: e.id):
            fields = (example.id, example.entity, example.language, example.text, example.text_pair)
            row = "\x1f".join((*fields, str(sorted(example.labels.items())), f"{example.weight:.4f}"))
            rows.update(row.encode("utf-8", "surrogatepass") + b"\n")
        counts = {part: len(self.where(part)) for part in ("training", "validation", "test")}
        judged = sorted({judgement for example in self.examples for judgement in example.judgements})
        return {
            "files": dict(self.files),
            "rows": len(self.examples),
            "rows_sha256": rows.hexdigest(),
            "split": split.RULE,
            "parts": counts,
            "languages": self.languages,
            "labels": {head: list(labels) for head, labels in self.labels.items()},
            **({"multi_label": sorted(self.several)} if self.several else {}),
            "judgements": judged,
        }


def heads_of(domain: str) -> tuple[str, ...]:
    """The heads that can be trained for a domain of texts, the one that matters most first."""
    return _HEADS.get(domain) or tuple(NEEDED[domain])


def order_labels(domain: str, examples: Iterable[Example], extra: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Head -> labels. Fixed vocabularies keep their order; open ones (intent, event) are sorted, new labels come last.

    Args:
        extra: labels of the first head that came with feedback.

    Raises:
        DataError: a head that the domain's handler reads has no two labels, or one that the handler does not know.
    """
    seen: dict[str, set[str]] = {}
    for example in examples:
        for head, label in example.labels.items():
            seen.setdefault(head, set()).update(parse(label) if head in SEVERAL.get(domain, ()) else (label,))
    found: dict[str, tuple[str, ...]] = {}
    for head in heads_of(domain):
        if len(seen.get(head, ())) < 2:
            continue  # nothing to tell apart
        if strange := strangers(domain, head, seen[head]):
            raise DataError(
                f"{head} must be one of {', '.join(NEEDED[domain][head])}, not {' or '.join(map(repr, strange))}"
            )
        known = _FIXED.get(head) or tuple(sorted(seen[head] - set(extra)))
        found[head] = known + tuple(label for label in sorted(seen[head]) if label not in known)
    if missing := [head for head in NEEDED[domain] if head not in found]:
        raise DataError(f"the data have no two labels of {' and of '.join(map(repr, missing))} to tell apart")
    return found
