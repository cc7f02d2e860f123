"""The scenarios in which callers want different things: mixed models, overload with priorities, a caller who floods, a swap under load."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.inference.ground import Ground
from bench.inference.models import IMAGE, IMAGING, INTENT, TOPIC, discard, renew
from bench.inference.servers import promote
from bench.inference.traffic import Heard, Stream, quantile

OVERLOAD = 3.0  # times what the server manages
SWAP_LOAD = 0.5


@dataclass(frozen=True, slots=True)
class Class:
    """One priority of the overload: its share of the load, and the seconds after which an answer is worth nothing."""

    name: str
    priority: int
    share: float
    deadline: float


CLASSES = (Class("stat", 1, 0.2, 0.5), Class("normal", 5, 0.5, 1.0), Class("batch", 9, 0.3, 4.0))


def mixed(ground: Ground, precision: str) -> None:
    """Two text models on one encoder and an image model at once, as a sum of shares of what each manages alone: 1 is no loss."""
    note, texts, seconds = ground.figures.note, ground.part(0), ground.size.seconds / 2
    images = Stream(IMAGING, 8, clients=2, image=IMAGE)
    alone = ground.call(precision, [Stream(INTENT, 64, clients=4)], texts, seconds)[0].rate()
    images_alone = ground.call(precision, [images], texts, seconds)[0].rate()
    streams = [Stream(INTENT, 64, clients=2), Stream(TOPIC, 64, clients=2), images]
    heard = ground.call(precision, streams, texts, seconds)
    share = sum(each.rate() for each in heard[:2]) / alone
    image_share = heard[2].rate() / images_alone
    note(f"{precision}_mixed_text_share", share)
    note(f"{precision}_mixed_image_share", image_share)
    note(f"{precision}_mixed_sum", share + image_share)


def overload(ground: Ground, precision: str) -> None:
    """Three times as many rows as the server managed of such calls a moment before, open loop, in three priorities."""
    texts, rows = ground.part(1), _rows(OVERLOAD * ground.figures.median(f"{precision}_rows64"))
    full = Stream(INTENT, rows, clients=_clients(rows))
    capacity = ground.call(precision, [full], texts, ground.size.seconds / 2)[0].rate()
    streams = [
        Stream(
            INTENT,
            rows,
            rate=OVERLOAD * capacity * each.share / rows,
            caller=each.name,
            priority=each.priority,
            deadline=each.deadline,
        )
        for each in CLASSES
    ]
    before = ground.servers[precision].counts()
    heard = ground.call(precision, streams, texts, ground.size.seconds)
    counts = ground.servers[precision].counts() - before
    _note_overload(ground, precision, heard, counts.computed)
    note = ground.figures.note
    note(f"{precision}_overload_capacity", capacity)
    note(f"{precision}_overload_goodput", _within(heard) * rows / _span(heard) / capacity)


def _note_overload(ground: Ground, precision: str, heard: Sequence[Heard], computed: int) -> None:
    note, calls = ground.figures.note, _within(heard)
    for each, told in zip(CLASSES, heard, strict=True):
        note(f"{precision}_overload_{each.name}_hit_rate", 1 - len(told.failed) / len(told.calls))
        note(f"{precision}_overload_{each.name}_share", _within(heard, told) / max(calls, 1))
        note(f"{precision}_overload_{each.name}_p99_ms", told.latency(0.99) * 1000)
    answered = sum(each.answered for each in heard)
    note(f"{precision}_overload_computed_in_vain", (computed - answered) / max(answered, 1))


def _span(heard: Sequence[Heard]) -> float:
    """Seconds in which calls were sent."""
    due = [call.due for each in heard for call in each.calls]
    return max(due) - min(due)


def _within(heard: Sequence[Heard], of: Heard | None = None) -> int:
    """Calls, of one stream or of all, that were answered while calls were still sent: afterwards the overload is over."""
    end = max(call.due for each in heard for call in each.calls)
    told = [of] if of is not None else heard
    return sum(call.answered and call.due + call.seconds <= end for each in told for call in each.calls)


def _rows(load: float) -> int:
    """Of a call, so that this many rows a second are about a hundred calls: it is the device that is pressed, not the protocol."""
    return max(2, min(256, round(load / 100)))


def _clients(rows: int) -> int:
    """Who keep as many rows under way as four clients with 64 a call do, and no fewer calls."""
    return max(4, round(4 * 64 / rows))


def flood(ground: Ground, precision: str) -> None:
    """The p99 of a caller who asks for a fifth of what the server manages, alone and beside one who floods it."""
    texts, seconds = ground.part(2), ground.size.seconds
    load = 0.2 * ground.figures.median(f"{precision}_rows64")
    quiet = Stream(INTENT, _rows(load), rate=load / _rows(load), caller="quiet")
    loud = Stream(INTENT, 128, clients=8, caller="flood", first=64)
    alone = ground.call(precision, [quiet], texts, seconds)[0]
    beside, louder = ground.call(precision, [quiet, loud], texts, seconds)
    note = ground.figures.note
    for share in (50, 99):
        before, now = alone.latency(share / 100), beside.latency(share / 100)
        note(f"{precision}_flood_alone_p{share}_ms", before * 1000)
        note(f"{precision}_flood_beside_p{share}_ms", now * 1000)
        note(f"{precision}_flood_p{share}_ratio", now / before)
    note(f"{precision}_flood_failed", len(beside.failed))
    both = beside.rate() + louder.rate()
    note(f"{precision}_flood_work", both / ground.figures.median(f"{precision}_rows64"))


def swap(ground: Ground, precision: str, number: int) -> None:
    """A new version with a new encoder is promoted in the midst of half the load that the server manages.

    "During" is from the promotion until a second after the new version's first answer.
    """
    texts, seconds = ground.part(3), ground.size.seconds
    version = f"swap-{ground.seed}-{number}-{int(time.time())}"
    pointer = renew(ground.models, version)
    load = SWAP_LOAD * ground.figures.median(f"{precision}_rows64")
    stream = Stream(INTENT, _rows(load), rate=load / _rows(load))
    try:
        ground.begin(precision, [stream], texts, 2 * seconds + 4)
        time.sleep(seconds)
        promoted = time.time()
        promote(ground.url, ground.models, INTENT, pointer)
        (heard,) = ground.end(precision, [stream])
    finally:
        promote(ground.url, ground.models, INTENT, ground.models.live[INTENT])
        discard(ground.models, version)
    _note_swap(ground, precision, heard, promoted, version)


def _note_swap(ground: Ground, precision: str, heard: Heard, promoted: float, version: str) -> None:
    firsts = [call.due + call.seconds for call in heard.calls if call.version == version]
    if not firsts:
        raise RuntimeError(f"version {version} was promoted, and never answered")
    live = min(firsts)
    before = _p99(heard, -1.0, promoted)
    during = _p99(heard, promoted, live + 1.0)
    note = ground.figures.note
    note(f"{precision}_swap_failed_calls", len(heard.failed))
    note(f"{precision}_swap_seconds", live - promoted)
    note(f"{precision}_swap_before_p99_ms", before * 1000)
    note(f"{precision}_swap_during_p99_ms", during * 1000)
    note(f"{precision}_swap_p99_ratio", during / before)


def _p99(heard: Heard, start: float, end: float) -> float:
    return quantile((call.seconds for call in heard.calls if call.answered and start <= call.due < end), 0.99)


def curve(ground: Ground, precision: str, loads: Sequence[float]) -> list[dict[str, float]]:
    """Latency of single-row calls at shares of what 64 unary clients reach. rate and load: texts a second, and times FIFO-32."""
    top, fifo = ground.figures.median(f"{precision}_unary64"), ground.figures.median("bare_fifo32")
    points = []
    for load in loads:
        stream = Stream(INTENT, rate=load * top, deadline=10.0)
        (heard,) = ground.call(precision, [stream], ground.part(4), ground.size.seconds / 2)
        points.append(
            {
                "offered": load * top,
                "times_fifo32": load * top / fifo,
                "answered": heard.answered / len(heard.calls),
                "p50_ms": heard.latency() * 1000,
                "p99_ms": heard.latency(0.99) * 1000,
            }
        )
    return points
