"""Bad requests by the hundred thousand: `python -m bench.fuzz [--requests N] [--seed N] [HOST:PORT]`.

Without an address it starts a server of its own (`bench.small`) and watches its memory. Half of the requests were well formed until
something was done to them (`bench.mutate`): each must end with a status that says what it is about. A quarter have one fault, of which
status, reason and field are known (`bench.faults`); others have bad rows among good ones (`bench.company`), go through streams, are
cancelled, have next to no time, or are no gRPC at all. Every so often a well-formed request goes between them, and must have the answer
that it always has. Exit status 1 if anything was otherwise. Request N of a seed is always the same.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from bench.attacks import Attacks, Tally
from bench.machine import describe, result

ROOT = Path(__file__).resolve().parents[1]
AT_ONCE = 16
EVERY = 10  # so many bad requests come to one good one
WARM = 0.2  # share of the requests after which memory is first looked at: until then pools and caches fill
PARTS = 5  # in which memory is looked at
GROWTH = 24.0  # MB that may be added from then on


async def attack(address: str, requests: int, seed: int, pid: int | None = None) -> Tally:
    """`pid`: whose memory is watched."""
    async with grpc.aio.insecure_channel(address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
        attacks = Attacks(channel, address, seed)
        await attacks.learn()
        numbers = iter(range(requests))
        for part in range(PARTS):
            upto = requests * (part + 1) // PARTS if part else int(requests * WARM)
            await asyncio.gather(*(_work(attacks, numbers, upto) for _ in range(AT_ONCE)))
            if pid is not None:
                attacks.tally.rss.append(_memory(pid))
        return attacks.tally


async def _work(attacks: Attacks, numbers: Iterator[int], upto: int) -> None:
    for number in numbers:
        await attacks.one(number)
        if number % EVERY == 0:
            await attacks.neighbour(number)
        if number >= upto - AT_ONCE:
            return


def _memory(pid: int) -> float:
    import psutil

    return float(psutil.Process(pid).memory_info().rss) / 1e6


@contextmanager
def _own() -> Iterator[tuple[str, int]]:
    """(address, pid) of a server that is there for this run alone, and remembers no answers: each must be computed."""
    environment = {**os.environ, "TIDEMILL_CACHE_BYTES": "0"}
    command = [sys.executable, "-m", "bench.small"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().decode().strip(), process.pid
        finally:
            process.stdin.close()  # which ends it


def _report(tally: Tally, requests: int, seconds: float) -> bool:
    """Whether everything was right."""
    print(
        f"{requests:,} bad requests in {seconds:.0f} s; {tally.neighbours:,} good ones between them, {tally.harmed} harmed"
    )
    for name, count in tally.kinds.most_common():
        result(f"kind.{name}", count)
    for name, count in tally.statuses.most_common():
        result(f"status.{name}", count)
    result("requests", requests)
    result("requests_per_s", requests / seconds)
    result("faults", len(tally.faults))
    result("neighbours", tally.neighbours)
    result("neighbours_harmed", tally.harmed)
    result("wrong", len(tally.wrong))
    if tally.rss:
        result("rss_mb", " ".join(f"{each:.0f}" for each in tally.rss))
    for each in tally.wrong[:20]:
        print(f"  wrong: {each}"[:700])
    grown = max(tally.rss) - tally.rss[0] if tally.rss else 0.0
    return not tally.wrong and grown <= GROWTH


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument(
        "address", nargs="?", metavar="HOST:PORT", help="with models intent, risk and imaging; else one is started"
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given: Any = parser.parse_args()
    print(describe(given.seed))
    began = time.monotonic()
    if given.address:
        tally = asyncio.run(attack(given.address, given.requests, given.seed))
    else:
        with _own() as (address, pid):
            tally = asyncio.run(attack(address, given.requests, given.seed, pid))
    return 0 if _report(tally, given.requests, time.monotonic() - began) else 1


if __name__ == "__main__":
    sys.exit(main())
