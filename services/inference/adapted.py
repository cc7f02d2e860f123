"""Rows with several adapters, and with none, in one pass through their encoder."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.inference.units import Unit
from shared.nn.adapter import Adapter, adapt
from shared.nn.tokens import Packed, pack

R = TypeVar("R")


def run_together(units: Sequence[Unit], run: Callable[[Sequence[Unit]], list[R]]) -> list[R]:
    """One result a unit (payload: its tokens and its reader first), from a pass in which each adapter's rows are neighbours.

    Among them rows keep their order, shortest first, in which attention is cheapest. Where none has an adapter nothing is moved.
    """
    first: dict[Adapter | None, int] = {}
    for unit in units:
        first.setdefault(unit.payload[1].adapter, len(first))
    if len(first) < 2:
        return run(units)
    order = sorted(range(len(units)), key=lambda row: first[units[row].payload[1].adapter])
    found = dict(zip(order, run([units[row] for row in order]), strict=True))
    return [found[row] for row in range(len(units))]


def list_adapters(units: Sequence[Unit]) -> list[Adapter | None]:
    """Each row's; empty where none has one."""
    adapters = [unit.payload[1].adapter for unit in units]
    return [] if all(each is None for each in adapters) else adapters


def pack_units(units: Sequence[Unit]) -> Packed:
    """Their tokens, with each row's adapter."""
    packed, adapters = pack([unit.payload[0] for unit in units]), list_adapters(units)
    return adapt(packed, adapters) if adapters else packed
