"""The run in the words of the goals: ratios first, each as median and range over the rounds."""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.inference.ground import Figures, Ground
from bench.inference.throughput import FIFO, OTHERS, SINGLE, SORTED

QUIET = 0.1  # share of the cores that others may use for figures to be worth anything
LOSS = 0.5  # points of accuracy that a faster precision may cost


@dataclass(frozen=True, slots=True)
class Line:
    """values: by round. goal: the least they may be, or the most where `most`; None: there is none."""

    name: str
    says: str
    values: Sequence[float]
    goal: float | None = None
    most: bool = False
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        met = self.median <= self.goal if self.most else self.median >= self.goal
        return f"goal {'<=' if self.most else '>='} {self.goal:g}{self.unit}: {'met' if met else 'MISSED'}"

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        said = f"{self.median:8,.2f}{self.unit} ({low:,.2f} to {high:,.2f}, {len(self.values)})"
        return f"  {self.says:<66} {said:<36} {self.verdict}"


def accuracy(ground: Ground) -> dict[str, float]:
    """Precision -> percent of the texts answered over all rounds whose likeliest label is the true one."""
    truth = dict(zip(ground.models.texts, ground.models.truth, strict=True))
    return {
        precision: 100 * statistics.mean(truth[text] == label for text, label in answers.items())
        for precision, answers in sorted(ground.answers.items())
    }


def lines(figures: Figures, precisions: Sequence[str], right: Mapping[str, float]) -> Iterator[Line]:
    """Everything that has a goal, and what it is read beside. right: `accuracy`."""
    for precision in precisions:
        yield from _ratios(figures, precision)
    within = [each for each in precisions if right["fp32"] - right[each] <= LOSS]
    best = max(within, key=lambda precision: figures.median(f"{precision}_rows64"))
    yield from _fastest(figures, best)
    yield from _single(figures, precisions)
    seen: dict[str, Callable[[Figures, str], Iterator[Line]]] = {
        "overload_stat_share": _overload,
        "flood_p99_ratio": _flood,
        "swap_p99_ratio": _swap,
        "mixed_sum": _mixed,
    }
    for name, tell in seen.items():
        for precision in precisions:
            if f"{precision}_{name}" in figures.seen:
                yield from tell(figures, precision)


def _ratios(figures: Figures, precision: str) -> Iterator[Line]:
    goals = {"rows64": 1.7, "unary64": 1.4} if precision == "fp32" else {}
    for name, says in (
        ("rows64", "4 clients x 64 rows"),
        ("unary64", "64 unary clients"),
        ("engine", "our engine alone"),
    ):
        ratios = figures.ratios(f"{precision}_{name}", FIFO)
        yield Line(f"{precision}_{name}_ratio", f"{precision}: {says}, over bare FIFO-32", ratios, goals.get(name))
    yield _beside_loop(figures, precision)
    two = figures.ratios(f"{precision}_rows64_two_models", f"{precision}_rows64")
    yield Line(f"{precision}_two_models_ratio", f"{precision}: two models on one encoder, over one model", two)


def _fastest(figures: Figures, best: str) -> Iterator[Line]:
    over = figures.ratios(f"{best}_rows64", FIFO)
    yield Line("fastest_ratio", f"fastest within {LOSS} point ({best}): 4 x 64 rows over bare FIFO-32", over, 4.0)
    yield replace(_beside_loop(figures, best), name="fastest_loop_ratio", goal=0.85)


def _beside_loop(figures: Figures, precision: str) -> Line:
    """The server beside whatever is fastest in one process, in the same precision: the bare network sorted, or our engine alone."""
    bare = SORTED if precision == "fp32" else f"{SORTED}_{precision}"
    loop = max((f"{precision}_engine", bare), key=figures.median)
    says = f"{precision}: 4 x 64 rows over the best loop in process ({loop})"
    return Line(f"{precision}_loop_ratio", says, figures.ratios(f"{precision}_rows64", loop))


def _single(figures: Figures, precisions: Sequence[str]) -> Iterator[Line]:
    for precision in precisions:
        mine = figures.seen[f"{precision}_single"]
        for beside, name, says in (
            (SINGLE, "single_over_bare_ms", "the bare forward"),
            (f"{precision}_engine_single", "single_over_engine_ms", "our engine alone"),
        ):
            more = [(a - b) * 1000 for a, b in zip(mine, figures.seen[beside], strict=True)]
            goal = 1.5 if precision == "fp32" else None
            yield Line(f"{precision}_{name}", f"{precision}: 1 client, p50 beyond {says}", more, goal, True, " ms")


def _overload(figures: Figures, precision: str) -> Iterator[Line]:
    def line(name: str, says: str, goal: float | None = None, most: bool = False) -> Line:
        full = f"{precision}_overload_{name}"
        return Line(full, f"{precision}: overload x3, {says}", figures.seen[full], goal, most)

    yield line("stat_hit_rate", "STAT rows within their deadline", 0.99)
    yield line("normal_hit_rate", "normal rows within their deadline")
    yield line("batch_hit_rate", "batch rows within their deadline")
    yield line("batch_share", "batch rows of all rows answered", 0.05)
    yield line("computed_in_vain", "rows computed whose call then failed, of those answered")
    yield line("goodput", "rows answered in time, of what it manages unloaded")


def _flood(figures: Figures, precision: str) -> Iterator[Line]:
    for share, goal in ((99, 2.0), (50, None)):
        name = f"{precision}_flood_p{share}_ratio"
        yield Line(name, f"{precision}: a caller's p{share} beside a flood, over alone", figures.seen[name], goal, True)
    name = f"{precision}_flood_work"
    yield Line(name, f"{precision}: rows of both, over what one caller alone gets", figures.seen[name])


def _swap(figures: Figures, precision: str) -> Iterator[Line]:
    failed, ratio = f"{precision}_swap_failed_calls", f"{precision}_swap_p99_ratio"
    yield Line(failed, f"{precision}: calls that failed around a swap", figures.seen[failed], 0, True)
    yield Line(ratio, f"{precision}: p99 during a swap, over before", figures.seen[ratio], 2.0, True)


def _mixed(figures: Figures, precision: str) -> Iterator[Line]:
    name = f"{precision}_mixed_sum"
    yield Line(name, f"{precision}: two text models and images at once, sum of shares", figures.seen[name])


def tell(said: Sequence[Line], figures: Figures, right: Mapping[str, float]) -> None:
    """Ratios and goals, then figures, then RESULT lines."""
    print("\nratios and goals: median (range, rounds)")
    for line in said:
        print(line)
    print("\naccuracy on texts that no head was fitted on")
    for precision, percent in right.items():
        print(f"  {precision:<10} {percent:.2f} %, {percent - right['fp32']:+.2f} points beside fp32")
    if (others := max(figures.seen[OTHERS])) > QUIET:
        print(
            f"\nothers used up to {others:.0%} of the cores: these figures say little, for bare loops suffer from company the most"
        )
    machine.result("bench_inference_others_cpu_share", others)
    print("\nfigures")
    for name, values in sorted(figures.seen.items()):
        scale, unit = (1000.0, " ms") if name.endswith("single") else (1.0, "")
        print(f"  {name:<44} {machine.spread((scale * each for each in values), unit)}")
    for line in said:
        machine.result(f"bench_inference_{line.name}", line.median)
    for precision, percent in right.items():
        machine.result(f"bench_inference_{precision.replace(' ', '_')}_accuracy", percent)


def write(
    file: Path, head: Mapping[str, Any], said: Sequence[Line], figures: Figures, curves: Mapping[str, Any]
) -> None:
    """All of it as JSON."""
    whole = {
        **head,
        "lines": {line.name: {"says": line.says, "values": list(line.values), "goal": line.goal} for line in said},
        "figures": figures.seen,
        "latency_by_load": curves,
    }
    file.write_text(json.dumps(whole, indent=1), encoding="utf-8")
