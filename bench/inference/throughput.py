"""The scenarios that are set beside the bare loop: each is measured once a round, on the round's texts."""

import os
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from bench import machine
from bench.inference.ground import Ground
from bench.inference.models import IMAGE, IMAGING, INTENT, TOPIC
from bench.inference.traffic import Heard, Stream

WINDOW = 256  # waiting texts: as many as 4 clients of 64 rows have under way
FIFO, SORTED, SORTED_WINDOW, SINGLE = "bare_fifo32", "bare_sorted", "bare_sorted256", "bare_single"
TURN = 25  # texts one after another, before the next loop or server has them
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
        for measure in scenarios:
            for name, value in measure(texts).items():
                ground.figures.note(name, value)
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


def _scenarios(ground: Ground) -> Iterator[Callable[[Texts], Mapping[str, float]]]:
    yield lambda texts: {FIFO: len(texts) / sum(ground.loop(texts))}
    yield lambda texts: {SORTED: len(texts) / sum(ground.loop(texts, window=len(texts)))}
    yield lambda texts: {SORTED_WINDOW: len(texts) / sum(ground.loop(texts, window=WINDOW))}
    yield partial(_singles, ground)
    for precision in ground.servers:
        if precision != "fp32":
            yield partial(_note, f"{SORTED}_{precision}", _sorted, ground, precision)
        yield partial(_note, f"{precision}_engine", _engine, ground, precision)
        yield partial(_note, f"{precision}_unary64", _unary, ground, precision)
        yield partial(_note, f"{precision}_rows64", _rows, ground, precision)
        yield partial(_note, f"{precision}_rows64_two_models", _two_models, ground, precision)


def _note(
    name: str, measure: Callable[[Ground, str, Texts], float], ground: Ground, precision: str, texts: Texts
) -> dict[str, float]:
    return {name: measure(ground, precision, texts)}


def _singles(ground: Ground, texts: Texts) -> dict[str, float]:
    """Texts one after another: through each loop and each server in turn, a few at a time, for it is milliseconds of difference that are
    looked for, and the machine's speed moves by more from one second to the next."""
    ways: dict[str, Callable[[Texts], list[float]]] = {SINGLE: partial(ground.loop, batch=1)}
    for precision in ground.servers:
        ways[f"{precision}_engine_single"] = partial(ground.engine, precision, batch=1)
        ways[f"{precision}_single"] = partial(_single, ground, precision)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for start in range(0, ground.size.singles, TURN):
        part = texts[start : min(start + TURN, ground.size.singles)]
        for name, measure in ways.items():
            seconds[name] += measure(part)
    return {name: statistics.median(each) for name, each in seconds.items()}


def _single(ground: Ground, precision: str, texts: Texts) -> list[float]:
    (heard,) = _call(ground, precision, [Stream(INTENT, clients=1, calls=len(texts))], texts)
    return [call.seconds for call in heard.calls]


def _sorted(ground: Ground, precision: str, texts: Texts) -> float:
    return len(texts) / sum(ground.loop(texts, window=len(texts), precision=precision))


def _engine(ground: Ground, precision: str, texts: Texts) -> float:
    return len(texts) / sum(ground.engine(precision, texts, WINDOW))


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
