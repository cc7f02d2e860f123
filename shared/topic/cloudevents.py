"""CloudEvents in Kafka's binary mode: `ce_*` headers beside the payload as it is."""

from datetime import UTC, datetime

from shared.errors import Reject
from shared.event import Arrival, Headers, Key, check_name


def arrive(
    domain: str,
    topic: str,
    partition: int,
    offset: int,
    at: datetime,
    key: bytes | None,
    value: bytes,
    headers: Headers,
) -> Arrival:
    """A Kafka record as an arrival. Whatever is wrong with its headers becomes the arrival's flaw; nothing is raised.

    Without a (usable) `ce_id` the event is named by its place: source = topic, id = ``topic:partition:offset``.
    """
    place = f"{topic}:{partition}:{offset}"
    try:
        read = _read(dict(headers))
        source, name, caller, subject = (read.get(each, "") for each in ("source", "id", "caller", "subject"))
        for field, text in (("ce_source", source), ("ce_id", name), ("ce_caller", caller), ("ce_subject", subject)):
            check_name(field, text)
        time = _time(read.get("time", ""))
    except Reject as flaw:
        return Arrival(
            Key(domain, topic, place), value, "", "kafka", place, at, headers=headers, record_key=key, flaw=flaw
        )
    return Arrival(
        key=Key(domain, source or topic, name or place),
        payload=value,
        content_type=read.get("content-type", ""),
        door="kafka",
        place=place,
        arrived_at=at,
        caller=caller or "anonymous",
        subject=subject,
        explain=read.get("explain", ""),
        time=time,
        headers=headers,
        record_key=key,
    )


_ATTRIBUTES = {f"ce_{name}": name for name in ("source", "id", "caller", "subject", "time", "explain")} | {
    "content-type": "content-type"
}


def _read(headers: dict[str, bytes | None]) -> dict[str, str]:
    try:
        return {name: (headers[h] or b"").decode() for h, name in _ATTRIBUTES.items() if h in headers}
    except UnicodeDecodeError as error:
        bad = next(h for h in _ATTRIBUTES if headers.get(h) == error.object)
        raise Reject("EVENT_NAME_INVALID", f"header {bad} is not UTF-8 at byte {error.start}", bad) from error


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Reject("EVENT_TIME_INVALID", "ce_time must be an RFC 3339 time with its zone", "ce_time")


def headers(
    source: str,
    id: str,  # noqa: A002 - CloudEvents' own names
    type: str,  # noqa: A002
    content_type: str,
    *,
    subject: str = "",
    time: datetime | None = None,
    caller: str = "",
    explain: str = "",
) -> list[tuple[str, bytes]]:
    """The headers of an event that we publish."""
    made = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", type.encode()),
        ("content-type", content_type.encode()),
    ]
    if caller:
        made.append(("ce_caller", caller.encode()))
    if explain:
        made.append(("ce_explain", explain.encode()))
    if subject:
        made.append(("ce_subject", subject.encode()))
    if time is not None:
        made.append(("ce_time", time.isoformat().encode()))
    return made
