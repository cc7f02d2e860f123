"""Loops without a server, in a process of their own: `python -m bench.inference.loops MODELS DEVICE`.

`bare` is FIFO-32 and its variations (`bench.bare`): by order, batch size and precision. `engine` is what the service does, without gRPC:
our own packed forward pass in the precision of this process's TIDEMILL_PRECISION, fed whole lists of texts.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvloop

from bench.bare import Bare
from bench.inference.child import Job, work
from services.inference.engine import Call, Engine
from services.inference.lifecycle import warm
from services.inference.load import open_loader
from services.inference.served import Served
from services.inference.threads import run_apart
from shared import bundle
from shared.settings import Settings


class Loops:
    """Models are loaded when first asked for."""

    def __init__(self, models: Path, device: str, runner: asyncio.Runner) -> None:
        self._models, self._device, self._runner = models, device, runner
        self._bare: dict[str, Bare] = {}
        self._served: Served | None = None

    def answer(self, job: Job) -> dict[str, Any]:
        texts = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))[: job["count"]]
        if job["loop"] == "engine":
            return self._engine(texts, job["version"], job["batch"])
        name = job.get("precision", "fp32")
        if name not in self._bare:
            self._bare[name] = Bare(self._models, job["version"], device=self._device, precision=name)
            self._bare[name].round(texts[: 2 * job["batch"]], job["batch"])
        done = self._bare[name].round(texts, job["batch"], job["window"])
        return {"batches": done.batches, "answers": done.answers}

    def _engine(self, texts: list[str], version: str, batch: int) -> dict[str, Any]:
        """One text after another where `batch` is 1; else all at once, in calls of `batch` rows."""
        if self._served is None:
            self._served = self._runner.run(_open(self._models, version))
        calls = [texts[start : start + batch] for start in range(0, len(texts), batch)]
        seconds, answers = self._runner.run(_ask(self._served, [[call] for call in calls] if batch == 1 else [calls]))
        return {"batches": seconds, "answers": answers}


async def _open(models: Path, version: str) -> Served:
    engine = Engine()
    engine.start()  # its thread ends with this process
    digest = bundle.sha256(models / "intent" / version / bundle.MANIFEST)
    loader = open_loader(Settings(models=models), engine)
    served = await run_apart(loader.load, "intent", version, digest)
    await warm(served)
    return served


async def _ask(served: Served, rounds: list[list[list[str]]]) -> tuple[list[float], list[int]]:
    """One round after another, the calls of each at once: (seconds of each round, the answers of all)."""

    async def one(texts: list[str]) -> list[int]:
        rows = [text.encode() for text in texts]
        answer = await served.answer(len(rows), {"text": rows}, Call(time.monotonic() + 600, "bench", model=served))
        return [int(each) for each in np.argmax(answer.tensors["intent.probabilities"], 1)]

    seconds: list[float] = []
    answers: list[int] = []
    for calls in rounds:
        began = time.perf_counter()
        answers += [label for labels in await asyncio.gather(*(one(call) for call in calls)) for label in labels]
        seconds.append(time.perf_counter() - began)
    return seconds, answers


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        work(Loops(Path(sys.argv[1]), sys.argv[2], runner).answer)


if __name__ == "__main__":
    main()
