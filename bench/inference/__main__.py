"""`python -m bench.inference [--quick]`"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench import machine
from bench.inference import plot, pressure, report, servers, throughput
from bench.inference.ground import FULL, QUICK, Figures, Ground, Size, prepared
from bench.inference.models import Models, prepare

_GPU = 32  # times as many texts a round: else it is over before it is measured
_STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


def measure(ground: Ground) -> dict[str, Any]:
    """Everything but the swap; the curves of latency by load."""
    precisions = list(ground.servers)
    say("warming up")
    throughput.warm_up(ground)
    throughput.run(ground, say)
    for number in range(ground.size.pressures):
        for press in (pressure.mixed, pressure.overload, pressure.flood):
            press(ground, precisions[number % len(precisions)] if press is pressure.mixed else precisions[0])
            say(f"{press.__name__} {number + 1}/{ground.size.pressures}")
    curves = {}
    for precision in precisions:
        curves[precision] = pressure.curve(ground, precision, ground.size.loads)
        say(f"latency by load, {precision}")
    return curves


def swap(ground: Ground) -> None:
    """Promotes to the first precision's server, under load."""
    for number in range(ground.size.pressures):
        pressure.swap(ground, next(iter(ground.servers)), number)
        say(f"swap {number + 1}/{ground.size.pressures}")


def main() -> None:
    given = _arguments()
    folder = given.data.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    size: Size = QUICK if given.quick else FULL
    size = replace(size, texts=given.texts or size.texts * (_GPU if torch.cuda.is_available() else 1))
    where = machine.describe(given.seed) + f", {_device()}"
    print(where, flush=True)
    models = prepare(folder, given.seed, size.fitted)
    words = sum(len(text.split()) for text in models.texts) / len(models.texts)
    about = f"{size.rounds} rounds of {size.texts:,} of {len(models.texts):,} texts of {models.origin}, {words:.1f} words on average"
    say(about)
    run(models, folder, size, given, [where, about])


def run(models: Models, folder: Path, size: Size, given: argparse.Namespace, about: list[str]) -> None:
    figures, processes = Figures(), given.processes
    with prepared(models, folder, size, given.seed, given.precisions, processes, figures) as ground:
        curves = measure(ground)
        right = report.accuracy(ground)
        precisions = list(ground.servers)
        if precisions == given.precisions[:1]:
            swap(ground)
    if precisions != given.precisions[:1]:
        # Alone: a promotion would have every server load the new version at once.
        with prepared(models, folder, size, given.seed, given.precisions[:1], processes, figures) as ground:
            throughput.warm_up(ground)
            swap(ground)
    said = list(report.lines(figures, precisions, right))
    report.tell(said, figures, right)
    head = {"about": about, "seed": given.seed, "accuracy": right}
    report.write(folder / "results.json", head, said, figures, curves)
    (folder / "latency.svg").write_text(plot.draw(curves, about[0]), encoding="utf-8")
    print(f"{folder / 'results.json'}, {folder / 'latency.svg'}")


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.inference", description="the inference service beside the bare model"
    )
    parser.add_argument("--quick", action="store_true", help="in a minute or two; says little")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(".tidemill/bench-inference"), help="models, logs and results")
    parser.add_argument("--precisions", nargs="+", choices=servers.PRECISIONS, help="fp32 first; default: all offered")
    parser.add_argument("--texts", type=int, default=0, help="of a round, at least 128; default: as suits the device")
    cores = max(1, (os.cpu_count() or 1) // 4)
    parser.add_argument("--processes", type=int, default=min(cores, 8), help="of callers")
    given = parser.parse_args()
    given.precisions = given.precisions or list(servers.PRECISIONS)
    if given.precisions[0] != "fp32":
        parser.error("--precisions begins with fp32, which the others are told beside")
    if given.texts and given.texts < 128:
        parser.error("--texts is at least 128: two calls of 64 rows")
    return given


if __name__ == "__main__":
    main()
