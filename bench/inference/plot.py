"""Latency against offered load, as an SVG written by hand: two axes and a few lines are not worth a plotting library."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 50, 50
_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3")

Point = Mapping[str, float]


def draw(curves: Mapping[str, Sequence[Point]], title: str) -> str:
    """p50 solid and p99 dashed, by precision; x: offered texts a second over bare FIFO-32's, y: milliseconds, logarithmic."""
    points = [point for curve in curves.values() for point in curve if not math.isnan(point["p99_ms"])]
    if not points:
        raise ValueError("no load was answered: there is nothing to draw")
    most = max(point["times_fifo32"] for point in points) * 1.05
    low = 10 ** math.floor(math.log10(min(point["p50_ms"] for point in points)))
    high = 10 ** math.ceil(math.log10(max(point["p99_ms"] for point in points)))
    parts = [*_frame(title, most, low, high)]
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        for quantile, dash in (("p50_ms", ""), ("p99_ms", "6 4")):
            places = " ".join(
                f"{_x(point['times_fifo32'], most):.1f},{_y(point[quantile], low, high):.1f}"
                for point in curve
                if not math.isnan(point[quantile])
            )
            parts.append(
                f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
            )
            parts += _legend(f"{name} {quantile[:3]}", colour, dash, 2 * number + (quantile == "p99_ms"))
    style = 'font-family="sans-serif" font-size="12"'
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(parts) + "\n</svg>\n"


def _x(value: float, most: float) -> float:
    return _LEFT + value / most * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, low: float, high: float) -> float:
    share = (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
    return HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM)


def _frame(title: str, most: float, low: float, high: float) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', _text(_LEFT, 24, title, "start")]
    step = 10 ** math.floor(math.log10(most)) / (1 if most / 10 ** math.floor(math.log10(most)) > 4 else 4)
    for number in range(int(most / step) + 1):
        x = _x(number * step, most)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(_text(x, bottom + 18, f"{number * step:g}", "middle"))
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{10.0**power:g} ms", "end"))
    return [
        *parts,
        _text((_LEFT + right) / 2, HEIGHT - 12, "offered load, times bare FIFO-32's texts a second", "middle"),
    ]


def _legend(says: str, colour: str, dash: str, row: int) -> list[str]:
    x, y = WIDTH - _RIGHT + 14, _TOP + 12 + 20 * row
    line = (
        f'<line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
    )
    return [line, _text(x + 34, y + 4, says, "start")]


def _text(x: float, y: float, says: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(says)}</text>'
