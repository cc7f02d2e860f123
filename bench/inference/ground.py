"""What every measurement stands on: the servers, who calls them, the loops beside them, and the book of figures."""

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.inference import child, servers
from bench.inference.child import Child
from bench.inference.models import INTENT, Models
from bench.inference.servers import Server
from bench.inference.traffic import Heard, Stream, merge


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, texts a round, calls of the single caller, seconds of a pressure, and loads of the curve as shares of
    what the server manages."""

    rounds: int
    texts: int
    singles: int
    seconds: float
    loads: tuple[float, ...]
    fitted: int
    pressures: int


FULL = Size(5, 2_048, 200, 12.0, (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2), 10_000, 3)
QUICK = Size(2, 384, 40, 3.0, (0.3, 0.8), 2_000, 1)


@dataclass(slots=True)
class Figures:
    """name -> what each round measured."""

    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(self, name: str, value: float) -> float:
        self.seen[name].append(value)
        return value

    def last(self, name: str) -> float:
        return self.seen[name][-1]

    def median(self, name: str) -> float:
        return statistics.median(self.seen[name])

    def ratios(self, name: str, to: str) -> list[float]:
        """Round by round, so that what the machine does to one it does to the other."""
        return [a / b for a, b in zip(self.seen[name], self.seen[to], strict=True)]


@dataclass(slots=True)
class Ground:
    """callers: by precision. engines: by precision, our forward pass without a server. answers: precision -> text -> label."""

    models: Models
    url: str
    folder: Path
    size: Size
    seed: int
    servers: dict[str, Server]
    callers: dict[str, list[Child]]
    bare: Child
    engines: dict[str, Child]
    figures: Figures
    answers: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))

    def part(self, number: int) -> list[str]:
        """The texts of a round."""
        texts, count = self.models.texts, self.size.texts
        return [texts[(number * count + i) % len(texts)] for i in range(count)]

    def call(
        self, precision: str, streams: Sequence[Stream], texts: Sequence[str], seconds: float = 0.0
    ) -> list[Heard]:
        """One measurement with callers. Raises RuntimeError if a stream heard nothing."""
        self.begin(precision, streams, texts, seconds)
        return self.end(precision, streams)

    def begin(self, precision: str, streams: Sequence[Stream], texts: Sequence[str], seconds: float) -> None:
        file = self.write(texts)
        children = self.callers[precision]
        for number, each in enumerate(children):
            shares = [vars_of(stream.share(number, len(children))) for stream in streams]
            each.tell({"streams": shares, "texts": str(file), "seconds": seconds, "seed": self.seed + 100 * number})

    def end(self, precision: str, streams: Sequence[Stream]) -> list[Heard]:
        told = [each.hear() for each in self.callers[precision]]
        heard = [
            merge([Heard.read(stream, raw[index]) for raw in told], stream) for index, stream in enumerate(streams)
        ]
        if silent := [each.stream.model for each in heard if not each.calls]:
            raise RuntimeError(f"no calls to {', '.join(silent)} were made")
        return heard

    def write(self, texts: Sequence[str]) -> Path:
        file = self.folder / "texts.json"
        file.write_text(json.dumps(list(texts)), encoding="utf-8")
        return file

    def loop(self, texts: Sequence[str], batch: int = 32, window: int = 0, precision: str = "fp32") -> list[float]:
        """Seconds of each batch of the bare loop, whose answers are kept beside the servers'."""
        job = {"loop": "bare", "batch": batch, "window": window, "precision": precision}
        seconds, answers = self._ask(self.bare, texts, job)
        self.answers[f"bare {precision}"] |= dict(zip(texts, answers, strict=True))
        return seconds

    def engine(self, precision: str, texts: Sequence[str], batch: int) -> list[float]:
        """Seconds of each call to the engine, in a process without a server."""
        return self._ask(self.engines[precision], texts, {"loop": "engine", "batch": batch})[0]

    def _ask(self, loop: Child, texts: Sequence[str], job: dict[str, object]) -> tuple[list[float], list[int]]:
        common = {"texts": str(self.write(texts)), "count": len(texts), "version": self.models.live[INTENT].version}
        found = loop.ask({**job, **common})
        return found["batches"], found["answers"]


def vars_of(stream: Stream) -> dict[str, object]:
    return {name: getattr(stream, name) for name in stream.__slots__}


@contextmanager
def prepared(
    models: Models,
    folder: Path,
    size: Size,
    seed: int,
    precisions: Sequence[str],
    processes: int,
    figures: Figures,
) -> Iterator[Ground]:
    """Everything up and loaded. processes: of callers, for each server."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with ExitStack() as stack:
        url = stack.enter_context(servers.database(folder))
        servers.go_live(url, models)
        around = {precision: servers.surroundings(url, models, precision) for precision in precisions}
        up = stack.enter_context(servers.serving(folder, around))
        callers = {
            precision: [
                stack.enter_context(child.running("bench.inference.callers", server.address)) for _ in range(processes)
            ]
            for precision, server in up.items()
        }
        arguments = ("bench.inference.loops", str(models.store), device)
        bare = stack.enter_context(child.running(*arguments, environment={"HF_HUB_DISABLE_PROGRESS_BARS": "1"}))
        engines = {
            precision: stack.enter_context(child.running(*arguments, environment=around[precision])) for precision in up
        }
        for each in [*itertools.chain(*callers.values()), bare, *engines.values()]:  # they start side by side
            each.hear()
        yield Ground(models, url, folder, size, seed, up, callers, bare, engines, figures)
