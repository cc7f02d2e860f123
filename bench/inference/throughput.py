"""The scenarios that are set beside the bare loop: each is measured once a round, on the round's texts."""

import os
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from bench import machine
from bench.inference.ground import Ground
from bench.inference.models import IMAGE, IMAGING, INTENT, TOPIC
from bench.inference.traffic import Heard, Stream

WINDOW = 256  # waiting texts: as many as 4 clients of 64 rows have under way
FIFO, SORTED, SORTED_WINDOW, SINGLE = "bare_fifo32", "bare_sorted", "bare_sorted256", "bare_single"
OTHERS = "others_cpu_share"  # of the cores, used before each round by anything else than this measurement
Texts = Sequence[str]


def run(ground: Ground, say: Callable[[str], None]) -> None:
    """All rounds. Figures are texts or rows a second, and of single calls the median seconds."""
    chance = random.Random(ground.seed)
    for number in range(ground.size.rounds):
        texts = ground.part(number)
        ground.figures.note(OTHERS, machine.use([os.getpid()], 1.0)[1])
        scenarios = list(_scenarios(ground))
        chance.shuffle(scenarios)
        for name, measure in scenarios:
            value = ground.figures.note(name, measure(texts))
            shown = f"{value * 1000:,.2f} ms" if name.endswith("single") else f"{value:,.1f}/s"
            say(f"round {number + 1}/{ground.size.rounds} {name} {shown}")


def warm_up(ground: Ground) -> None:
    """Each server and each loop has worked before anything is timed."""
    texts = ground.part(ground.size.rounds)[:128]
    for precision in ground.servers:
        ground.loop(texts, precision=precision)
        ground.engine(precision, texts, WINDOW)
        ground.call(precision, [Stream(INTENT, 16, clients=4, calls=8)], texts)
        ground.call(
            precision, [Stream(TOPIC, 16, clients=2, calls=4), Stream(IMAGING, 2, 2, calls=4, image=IMAGE)], texts
        )


def _scenarios(ground: Ground) -> Iterator[tuple[str, Callable[[Texts], float]]]:
    yield FIFO, lambda texts: len(texts) / sum(ground.loop(texts))
    yield SORTED, lambda texts: len(texts) / sum(ground.loop(texts, window=len(texts)))
    yield SORTED_WINDOW, lambda texts: len(texts) / sum(ground.loop(texts, window=WINDOW))
    yield SINGLE, lambda texts: statistics.median(ground.loop(texts[: ground.size.singles], batch=1))
    for precision in ground.servers:
        if precision != "fp32":
            yield f"{SORTED}_{precision}", partial(_sorted, ground, precision)
        yield f"{precision}_engine", partial(_engine, ground, precision)
        yield f"{precision}_engine_single", partial(_engine_single, ground, precision)
        yield f"{precision}_single", partial(_single, ground, precision)
        yield f"{precision}_unary64", partial(_unary, ground, precision)
        yield f"{precision}_rows64", partial(_rows, ground, precision)
        yield f"{precision}_rows64_two_models", partial(_two_models, ground, precision)


def _sorted(ground: Ground, precision: str, texts: Texts) -> float:
    return len(texts) / sum(ground.loop(texts, window=len(texts), precision=precision))


def _engine(ground: Ground, precision: str, texts: Texts) -> float:
    return len(texts) / sum(ground.engine(precision, texts, WINDOW))


def _engine_single(ground: Ground, precision: str, texts: Texts) -> float:
    return statistics.median(ground.engine(precision, texts[: ground.size.singles], 1))


def _single(ground: Ground, precision: str, texts: Texts) -> float:
    return _call(ground, precision, [Stream(INTENT, clients=1, calls=ground.size.singles)], texts)[0].latency()


def _unary(ground: Ground, precision: str, texts: Texts) -> float:
    return _call(ground, precision, [Stream(INTENT, clients=64, calls=len(texts))], texts)[0].rate()


def _rows(ground: Ground, precision: str, texts: Texts) -> float:
    """Whose answers are also what accuracy is told from."""
    (heard,) = _call(ground, precision, [Stream(INTENT, 64, clients=4, calls=len(texts) // 64, labels=True)], texts)
    ground.answers[precision] |= {texts[row]: label for row, label in heard.labels.items()}
    return heard.rate()


def _two_models(ground: Ground, precision: str, texts: Texts) -> float:
    """As many clients and rows as `_rows`, of two models that share the encoder."""
    calls = len(texts) // 128
    streams = [Stream(INTENT, 64, clients=2, calls=calls), Stream(TOPIC, 64, clients=2, calls=calls, first=64 * calls)]
    first, second = _call(ground, precision, streams, texts)
    both = Heard(first.stream, first.calls + second.calls)
    return both.rate()


def _call(ground: Ground, precision: str, streams: Sequence[Stream], texts: Texts) -> list[Heard]:
    """Raises RuntimeError where a call failed: what is not answered is not throughput."""
    heard = ground.call(precision, streams, texts)
    if failed := [code for each in heard for code in each.failed]:
        raise RuntimeError(f"{precision}: {len(failed)} calls failed without any pressure, the first with {failed[0]}")
    return heard
