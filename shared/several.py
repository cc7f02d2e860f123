"""Several right labels as one text, in a data file's cell, a prediction and a judgement alike: "card|refund"; "|" where none is right."""

from collections.abc import Iterable, Mapping

SEPARATOR = "|"
MAX_LABELS = 64  # right ones, of one answer
MAX_LABEL_BYTES = 128
UNSURE = 0.5  # the threshold of a label that has none: more likely right than not


def join(labels: Iterable[str]) -> str:
    """Sorted, so that the same labels are the same text."""
    return SEPARATOR.join(sorted(labels)) or SEPARATOR


def parse(text: str) -> tuple[str, ...]:
    """The labels of a text like those of `join`, sorted; their order in the text is of no meaning.

    Raises:
        ValueError: the text could mean several things; says which part of it.
    """
    if text.strip() == SEPARATOR:
        return ()
    return check([part.strip() for part in text.split(SEPARATOR)])


def check(labels: Iterable[str]) -> tuple[str, ...]:
    """These labels, sorted.

    Raises:
        ValueError: one is empty, is there twice, or could not be told apart from others in a text, or there are too many.
    """
    found = sorted(labels)
    if len(found) > MAX_LABELS:
        raise ValueError(f"{len(found)} labels are right; the limit is {MAX_LABELS}")
    for at, label in enumerate(found):
        if not label:
            raise ValueError(f"a label is empty; where none is right, the whole text is {SEPARATOR!r}")
        if at and label == found[at - 1]:
            raise ValueError(f"the label {label!r} is there twice")
        if SEPARATOR in label or label != label.strip() or not label.isprintable():
            raise ValueError(f"the label {label!r} holds {SEPARATOR!r}, space at an end or what cannot be printed")
        if (size := len(label.encode())) > MAX_LABEL_BYTES:
            raise ValueError(f"the label {label[:20]!r}... has {size:,} bytes; the limit is {MAX_LABEL_BYTES}")
    return tuple(found)


def threshold(thresholds: Mapping[str, float], head: str, label: str, language: str) -> float:
    """The probability from which on the label counts as right, in that language (also: slice) or in general."""
    general = thresholds.get(f"{head}.{label}", UNSURE)
    return thresholds.get(f"{head}.{label}.{language}", general) if language else general
