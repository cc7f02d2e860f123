"""`make bench`: how many events a second the whole stack settles, against a bare loop on the same model, cores and minutes.

Texts a second: texts go onto Kafka as fast as the broker takes them; the clock runs from the first record's own time to the moment at
which Postgres has stored the last outcome. Rounds of the bare loop (`bench.bare`) stand between, while the stack idles. Events a second
of a no-op model, on a second stack whose models answer with fixed frequencies, is what everything but the forward pass can do.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from bench import evidence, machine, prior, texts
from bench.local import ROOT, Local, running
from protos import intent_pb2
from shared.event import PROTOBUF
from shared.settings import Settings
from shared.topic import cloudevents

GOAL_RATIO, GOAL_NOOP = 0.8, 1_500.0
QUIET = 0.1  # share of the cores that others may use for figures to be worth anything
_PATIENCE = 600.0  # s for a round
_DONE = "SELECT count(*) FROM outcomes WHERE domain = 'intent' AND source = $1"
_TIMES = """
SELECT min(arrived_at) AS first, max(stored_at) AS last, count(*) AS outcomes, count(*) FILTER (WHERE kind = 'result') AS results
FROM outcomes WHERE domain = 'intent' AND source = $1
"""


async def through(stack: Local, source: str, sentences: Sequence[str]) -> float:
    """Events a second, from the first record's time to the last outcome's.

    Raises:
        RuntimeError: not every text came to a result.
    """
    values = stack.values()
    await _produce(values["TIDEMILL_KAFKA"], source, sentences)
    deadline = time.monotonic() + _PATIENCE
    while (await evidence.query(values["TIDEMILL_POSTGRES"], _DONE, source))[0][0] < len(sentences):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{source}: not settled within {_PATIENCE:.0f} s; see {stack.data}/logs")
        await asyncio.sleep(0.25)
    row = (await evidence.query(values["TIDEMILL_POSTGRES"], _TIMES, source))[0]
    if row["results"] != len(sentences):
        raise RuntimeError(f"{source}: {row['results']} results of {len(sentences)} texts")
    return len(sentences) / float((row["last"] - row["first"]).total_seconds())


async def _produce(kafka: str, source: str, sentences: Sequence[str]) -> None:
    kind = intent_pb2.IntentRequest.DESCRIPTOR.full_name
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=5) as producer:
        sent = []
        for number, text in enumerate(sentences):
            value = intent_pb2.IntentRequest(text=text, language="en").SerializeToString()
            name = f"{number}"
            headers = cloudevents.headers(source, name, kind, PROTOBUF)
            sent.append(await producer.send("intent.requests.v1", value, name.encode(), headers=headers))
        await asyncio.gather(*sent)


class Bare:
    """The bare loop in a process of its own, loaded and idle between rounds."""

    def __init__(self, process: "subprocess.Popen[str]", scratch: Path) -> None:
        self._process = process
        self._scratch = scratch

    def round(self, sentences: Sequence[str]) -> float:
        """Texts a second."""
        file = self._scratch / "texts.json"
        file.write_text(json.dumps(sentences), encoding="utf-8")
        assert self._process.stdin is not None
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()
        return len(sentences) / float(self.hear())

    def hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"the bare loop ended with status {self._process.wait()}")
        return line


@contextmanager
def bare_loop(models: Path) -> Iterator[Bare]:
    command = [sys.executable, "-m", "bench.bare", str(models)]
    with (
        tempfile.TemporaryDirectory() as scratch,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            bare = Bare(process, Path(scratch))
            bare.hear()
            yield bare
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def measure_texts(data: Path, rounds: int, count: int, seed: int) -> None:
    """Texts a second of the whole stack with the starter model in fp32, and of the bare loop."""
    origin, sentences = texts.load(rounds * count, seed)
    print(f"{rounds} rounds of {count:,} texts of {origin}, {_words(sentences):.1f} words on average", flush=True)
    fast: list[float] = []
    plain: list[float] = []
    rest: list[
        tuple[float, float]
    ] = []  # shares of the cores in use before each round: the resting stack's, everybody else's
    with running(data, environment={"TIDEMILL_PRECISION": "fp32"}) as stack, bare_loop(data / "models") as bare:
        asyncio.run(through(stack, f"bench/warm/{seed}/{time.time()}", sentences[:500]))
        for number in range(rounds):
            part = sentences[number * count : (number + 1) * count]
            rest.append(machine.use(list(stack.processes().values())))
            plain.append(bare.round(part))
            fast.append(asyncio.run(through(stack, f"bench/{seed}/{number}/{time.time()}", part)))
            print(
                f"round {number + 1}: stack {fast[-1]:,.1f}/s, bare FIFO-32 {plain[-1]:,.1f}/s; before it the stack at rest used "
                f"{rest[-1][0]:.0%} of the cores and others {rest[-1][1]:.0%}",
                flush=True,
            )
    ratio = statistics.median(fast) / statistics.median(plain)
    print(
        f"stack {machine.spread(fast, '/s')}; bare {machine.spread(plain, '/s')}; ratio {ratio:.2f}, goal {GOAL_RATIO}"
    )
    machine.result("bench_texts", origin.replace(" ", "_"))
    machine.result("bench_stack_texts_per_s", statistics.median(fast))
    machine.result("bench_bare_texts_per_s", statistics.median(plain))
    machine.result("bench_ratio", ratio)
    machine.result("bench_others_cpu_share", max(others for _, others in rest))
    if max(others for _, others in rest) > QUIET:
        print(
            "others used this machine meanwhile: these figures say little, for the bare loop suffers from company more than the stack does"
        )


def measure_noop(data: Path, rounds: int, count: int, seed: int) -> None:
    """Events a second of a stack whose models answer at once."""
    sentences = texts.load(count, seed)[1]
    seen: list[float] = []
    cost: list[float] = []  # ms of processor time of the stream worker, an event
    with running(data, "--no-starters") as stack:
        values: dict[str, Any] = stack.values()
        settings = Settings(postgres=values["TIDEMILL_POSTGRES"], models=Path(values["TIDEMILL_MODELS"]))
        for model in ("intent", "risk", "imaging"):
            prior.promote(settings, model, f"prior-{seed}")
        asyncio.run(through(stack, f"noop/warm/{time.time()}", sentences[:1_000]))
        worker = [stack.processes()["intent-stream"]]
        for number in range(rounds):
            before = machine.spent(worker)
            seen.append(asyncio.run(through(stack, f"noop/{seed}/{number}/{time.time()}", sentences)))
            cost.append((machine.spent(worker) - before) / count * 1000)
            print(
                f"no-op round {number + 1}: {seen[-1]:,.0f} events/s, {cost[-1]:.2f} ms of the worker's core each",
                flush=True,
            )
    print(f"no-op {machine.spread(seen, '/s')}, goal {GOAL_NOOP:,.0f}")
    machine.result("bench_noop_events_per_s", statistics.median(seen))
    machine.result("bench_noop_worker_ms_per_event", statistics.median(cost))


def _words(sentences: Sequence[str]) -> float:
    return statistics.mean(len(sentence.split()) for sentence in sentences)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stack", description="throughput of the whole stack")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=3_000, help="of a round with the starter model")
    parser.add_argument("--events", type=int, default=10_000, help="of a round with the no-op model")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--data", type=Path, help="a stack's folder whose models are used again; default: a temporary one, trained"
    )
    parser.add_argument("--only", choices=("texts", "noop"), help="one of the two measurements")
    given = parser.parse_args()
    print(machine.describe(given.seed), flush=True)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as scratch:
        if given.only != "noop":
            data = given.data.resolve() if given.data else Path(scratch) / "texts"
            measure_texts(data, given.rounds, given.texts, given.seed)
        if given.only != "texts":
            measure_noop(Path(scratch) / "noop", given.rounds, given.events, given.seed)


if __name__ == "__main__":
    main()
