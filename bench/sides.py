"""One pass after another on all cores, or two side by side on half of them each: `python -m bench.sides`.

The encoder's forward pass alone, in this process; undisturbed, and beside a process that wants a share of one core, as an event loop and
whoever calls it do. Rounds are interleaved; a figure is the median of them.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.inference.threads import set_waiting, use_cores

set_waiting()  # before torch is imported, as the service does it

import torch  # noqa: E402

from bench import machine  # noqa: E402
from bench.inference.models import INTENT, prepare  # noqa: E402
from services.inference.crew import SIZE  # noqa: E402
from services.inference.engine import Engine  # noqa: E402
from services.inference.load import Loader  # noqa: E402
from services.inference.text import EncoderDevice, TextModel  # noqa: E402
from shared.nn.tokens import Tokens, pack  # noqa: E402

COSTS = (32, 128, 512, 1024)  # tokens a pass
DISTURBANCES = (0.0, 0.25, 0.5)  # of one core
SECONDS, ROUNDS = 2.0, 3
_BURN = "import sys, time\nwhile True:\n    end = time.monotonic() + {0}\n    while time.monotonic() < end: pass\n    time.sleep({1})"
Pass = list[Tokens]


def load(folder: Path, seed: int) -> tuple[EncoderDevice, list[Tokens]]:
    """The encoder as it is served, and Banking77's texts, or those of the starter data."""
    models = prepare(folder, seed, 2_000)
    live = models.live[INTENT]
    served = Loader(models.store, Engine(), "fp32").load(INTENT, live.version, live.digest)
    assert isinstance(served, TextModel)
    encoder = served._branches["*"].encoder
    return encoder, encoder.tokenizer.encode(models.texts[:2_000])


def fill(texts: Sequence[Tokens], cost: int, chance: random.Random) -> Pass:
    filled = [chance.choice(texts)]
    while sum(map(len, filled)) < cost:
        filled.append(chance.choice(texts))
    return filled


@contextmanager
def disturbed(share: float) -> Iterator[None]:
    if not share:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", _BURN.format(0.005 * share, 0.005 * (1 - share))])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(encoder: EncoderDevice, passes: Sequence[Pass], sides: int, seconds: float) -> tuple[float, float]:
    """(tokens a second, median seconds of a pass)."""
    cores, until = (os.cpu_count() or 1) // sides, time.monotonic() + seconds
    done: list[tuple[int, float]] = []

    @torch.inference_mode()
    def work(first: int) -> None:
        use_cores(cores)
        number = first
        while (began := time.monotonic()) < until:
            packed = pack(passes[number % len(passes)])
            encoder.network(packed)
            done.append((len(packed.ids), time.monotonic() - began))
            number += sides

    began = time.monotonic()
    threads = [threading.Thread(target=work, args=(side,)) for side in range(sides)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.monotonic() - began
    return sum(cost for cost, _ in done) / whole, statistics.median(took for _, took in done)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sides", description="passes side by side, beside one on all cores"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(".tidemill/bench-inference"), help="models")
    given = parser.parse_args()
    print(machine.describe(given.seed), flush=True)
    encoder, texts = load(given.data.resolve(), given.seed)
    chance = random.Random(given.seed)
    for cost in COSTS:
        passes = [fill(texts, cost, chance) for _ in range(50)]
        for share in DISTURBANCES:
            with disturbed(share):
                rounds = [[measure(encoder, passes, sides, SECONDS) for sides in (1, SIZE)] for _ in range(ROUNDS)]
            report(f"{cost}_tokens_disturbed_{share:.2f}", rounds)


def report(name: str, rounds: Sequence[Sequence[tuple[float, float]]]) -> None:
    """rounds: of each, (tokens a second, seconds of a pass) on all cores and side by side."""
    for index, way in enumerate(("all_cores", "side_by_side")):
        machine.result(f"{name}_{way}_tokens_per_second", statistics.median(each[index][0] for each in rounds))
        machine.result(f"{name}_{way}_pass_ms", 1000 * statistics.median(each[index][1] for each in rounds))
    machine.result(f"{name}_ratio", statistics.median(each[1][0] / each[0][0] for each in rounds))


if __name__ == "__main__":
    main()
