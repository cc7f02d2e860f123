"""What can go wrong with an event, as verbs.

Failure
├── Reject        this event can never succeed: dead letter with a stable reason code
│   └── Reused    its key belongs to another payload: dead letter and incident, never a second outcome
├── Unavailable   something we depend on is down: try again, nothing is lost
└── Expired       the caller's deadline has passed: no outcome
"""


class Failure(Exception):  # noqa: N818 - the tree reads as verbs and states, not as "...Error"
    """Base of all expected failures. Anything else that a handler raises is a bug in it."""


class Reject(Failure):
    """This event can never succeed.

    Args:
        reason: stable code in capitals, e.g. ``TEXT_EMPTY``; consumers may switch on it.
        detail: one sentence for a person that names the field and the limit; never contains the payload.
        field: the request field at fault, if one is.
    """

    def __init__(self, reason: str, detail: str, field: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.field = field


class Reused(Reject):
    """The event's key was used before, with another payload."""

    def __init__(self, source: str, id: str) -> None:  # noqa: A002 - CloudEvents' own name
        super().__init__(
            "ID_REUSED", f"event id {id!r} of source {source!r} was already used with another payload", "event.id"
        )


class Unavailable(Failure):
    """Something we depend on cannot be reached just now.

    Args:
        what: the dependency, in the user's words: ``postgres``, ``inference``, ``kafka``, ``redis``, ``blob store x-rays``.
        detail: what was seen.
        retry_after: seconds after which another try makes sense, if known.
    """

    def __init__(self, what: str, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{what} is unavailable" + (f": {detail}" if detail else ""))
        self.what = what
        self.detail = detail
        self.retry_after = retry_after


class Expired(Failure):
    """The caller's deadline passed before there was an answer."""
