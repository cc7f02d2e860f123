"""Answering from what was answered before: only rows that were not are computed."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from services.inference.cache import Cache, Key, Row, cut_row, pick_rows, stack_rows
from services.inference.engine import Call
from services.inference.served import EXPLANATIONS, ROW_ERROR, Answer, Served
from services.inference.tensors import Tensor, TensorSpec

LARGE = 1 << 20  # bytes of input that are digested off the event loop


async def answer(
    cache: Cache, served: Served, rows: int, tensors: Mapping[str, Tensor], call: Call, outputs: Sequence[TensorSpec]
) -> Answer:
    """As `served.answer`; `recalled` and `recalling` say how many rows the cache had, and what looking took.

    Raises:
        Refusal: rows that the cache did not have cannot be answered.
    """
    if not cache.max_bytes or call.head or call.asked & EXPLANATIONS:  # which depend on more than their row
        return await served.answer(rows, tensors, call)
    began = time.monotonic()
    keys = await _digest(cache, served, rows, tensors)
    names = [spec.name for spec in outputs if spec != ROW_ERROR]
    known = [cache.find(key, names) for key in keys]
    missing = [row for row, found in enumerate(known) if found is None]
    looked = time.monotonic() - began
    if len(missing) == rows:
        fresh = await served.answer(rows, tensors, call)
        began = time.monotonic()
        _keep(cache, keys, fresh)
        fresh.recalling = looked + time.monotonic() - began
        return fresh
    if not missing:
        return Answer(stack_rows([row for row in known if row], names), recalled=rows, recalling=looked)
    fresh = await served.answer(len(missing), pick_rows(tensors, missing), call)
    began = time.monotonic()
    _keep(cache, [keys[row] for row in missing], fresh)
    merged = _merge(known, missing, fresh, names)
    merged.recalling = looked + time.monotonic() - began
    return merged


async def _digest(cache: Cache, served: Served, rows: int, tensors: Mapping[str, Tensor]) -> list[Key]:
    size = sum(tensor.nbytes for tensor in tensors.values() if not isinstance(tensor, list))
    if size < LARGE:
        return cache.keys(served, rows, tensors)
    return await asyncio.to_thread(cache.keys, served, rows, tensors)


def _keep(cache: Cache, keys: Sequence[Key], fresh: Answer) -> None:
    if not (fresh.repeatable and fresh.on_device):
        return
    for row, key in enumerate(keys):
        if row not in fresh.errors:
            cache.keep(key, cut_row(fresh.tensors, row))


def _merge(known: Sequence[Row | None], missing: Sequence[int], fresh: Answer, names: Sequence[str]) -> Answer:
    """The rows that were known and those that were computed, each in its place."""
    places = {row: i for i, row in enumerate(missing)}
    whole = [found if found is not None else cut_row(fresh.tensors, places[row]) for row, found in enumerate(known)]
    return Answer(
        stack_rows(whole, names),
        {missing[row]: why for row, why in fresh.errors.items()},
        waited=fresh.waited,
        preparing=fresh.preparing,
        computing=fresh.computing,
        on_device=fresh.on_device,
        recalled=len(known) - len(missing),
    )
