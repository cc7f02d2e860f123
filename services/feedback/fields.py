"""What a judgement's fields may hold; everything is checked before anything is looked up."""

from collections.abc import Collection

from protos.feedback_pb2 import FeedbackRequest
from shared.errors import Reject
from shared.several import MAX_LABEL_BYTES, MAX_LABELS, SEPARATOR, join, parse

# field: most bytes of UTF-8, and whether it must be given
_TEXTS = {
    "prediction_id": (64, True),
    "label": (1024, True),  # several right labels; of a single one see `check_label`
    "annotator": (128, True),
    "head": (64, False),
    "target": (1024, False),
    "supersedes": (64, False),
}
MAX_COMMENT_BYTES = 4096
MAX_SECONDS = 86_400.0


def check(request: FeedbackRequest) -> None:
    """Refuses a request whose fields cannot be a judgement's.

    Raises:
        Reject: <FIELD>_EMPTY, <FIELD>_TOO_LONG, <FIELD>_INVALID, CONFIDENCE_OUT_OF_RANGE, SECONDS_OUT_OF_RANGE.
    """
    for field, (limit, required) in _TEXTS.items():
        _check_name(field, getattr(request, field), limit, required)
    _check_size("comment", request.comment, MAX_COMMENT_BYTES)
    if "\0" in request.comment:
        raise Reject("COMMENT_INVALID", "comment holds a NUL character", "comment")
    _check_number("confidence", request.confidence, 1.0)
    _check_number("seconds", request.seconds, MAX_SECONDS)


def check_label(label: str, several: bool, told: Collection[str]) -> str:
    """What is kept of a label that `check` found well: itself, or of a head with several right labels those of the text, sorted.

    Args:
        told: labels that the model tells. A new one that held the separator would be several in one, once somebody approved it.

    Raises:
        Reject: LABEL_TOO_LONG, LABEL_INVALID.
    """
    if not several:
        _check_size("label", label, MAX_LABEL_BYTES)
        if SEPARATOR in label and label not in told:
            said = f"label must be a single one, without {SEPARATOR!r}: this head has one right label"
            raise Reject("LABEL_INVALID", said, "label")
        return label
    try:
        return join(parse(label))
    except ValueError as error:  # which quotes the label, as no answer of ours may
        said = (
            f"label must hold every right label once, joined by {SEPARATOR!r} ({SEPARATOR!r} alone: none is right); "
            f"at most {MAX_LABELS} of up to {MAX_LABEL_BYTES} bytes, without space at their ends"
        )
        raise Reject("LABEL_INVALID", said, "label") from error


def _check_name(field: str, value: str, limit: int, required: bool) -> None:
    if required and not value:
        raise Reject(f"{field.upper()}_EMPTY", f"{field} must be given", field)
    _check_size(field, value, limit)
    if value != value.strip() or not value.isprintable():
        raise Reject(
            f"{field.upper()}_INVALID", f"{field} holds space at an end or a character that cannot be printed", field
        )


def _check_size(field: str, value: str, limit: int) -> None:
    size = len(value.encode())
    if size > limit:
        raise Reject(f"{field.upper()}_TOO_LONG", f"{field} has {size:,} bytes; the limit is {limit:,}", field)


def _check_number(field: str, value: float, limit: float) -> None:
    if not 0 <= value <= limit:  # which NaN is not either
        raise Reject(f"{field.upper()}_OUT_OF_RANGE", f"{field} must be from 0 to {limit:,g}", field)
