"""Which versions are live, after the ledger: loaded and warmed in the background, swapped between two requests, refused when bad."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.engine import Call
from services.inference.load import Loader
from services.inference.registry import Registry
from services.inference.served import Loaded
from services.inference.threads import run_apart
from services.inference.units import LOWEST_PRIORITY
from shared.bundle import BundleError

log = logging.getLogger(__name__)

RETRY = 30.0  # seconds until a refused bundle is looked at again: it may have been on its way into the store
WARM_UP = 120.0  # seconds that a warm-up may take


class Pointer(Protocol):
    """Of a ledger entry, what is needed here."""

    @property
    def version(self) -> str: ...
    @property
    def bundle_digest(self) -> str: ...


class Lifecycle:
    """`follow` the ledger until cancelled."""

    def __init__(self, registry: Registry, loader: Loader, announce: Callable[[str], Awaitable[None]]) -> None:
        """announce: told the name of each model that answers from now on, and "" once all that was live at the start does."""
        self._registry, self._loader, self._announce = registry, loader, announce
        self._digests: dict[tuple[str, str], str] = {}
        self._refused: dict[str, str] = {}  # model -> why

    async def follow(self, changes: AsyncIterator[Mapping[str, Pointer]]) -> None:
        """`changes` yields what is live, at once and after every change.

        Raises:
            BundleError: at the start, a live bundle cannot be trusted: serving without it would hide that.
        """
        live: Mapping[str, Pointer] = {}
        coming = asyncio.ensure_future(anext(changes))
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=RETRY if self._refused else None)
                if done:
                    live = coming.result()
                    coming = asyncio.ensure_future(anext(changes))
                await self._apply(live)
        finally:
            coming.cancel()

    async def _apply(self, live: Mapping[str, Pointer]) -> None:
        if not live:
            log.warning("waiting for a live model: the ledger names none yet (train one, or promote a bundle)")
            return
        for model, pointer in live.items():
            if self._is_live(model, pointer):
                self._refused.pop(model, None)
                continue
            try:
                await self._bring(model, pointer)
            except BundleError as error:
                if not self._registry.ready:
                    raise
                self._refuse(model, pointer, str(error))
        if not self._registry.ready:
            self._registry.ready = True
            await self._announce("")

    def _is_live(self, model: str, pointer: Pointer) -> bool:
        entry = self._registry.models.get(model)
        digest = self._digests.get((model, pointer.version))
        return bool(
            entry
            and entry.versions
            and entry.versions[0].version == pointer.version
            and digest == pointer.bundle_digest
        )

    async def _bring(self, model: str, pointer: Pointer) -> None:
        """Makes the version live, from memory if it is still there."""
        began, key = time.monotonic(), (model, pointer.version)
        served = self._registry.warm(*key) if self._digests.get(key) == pointer.bundle_digest else None
        if served is None:
            loaded = await run_apart(self._load, model, pointer)
            await warm(loaded)
            served = loaded
        self._registry.install(served)
        self._digests[key] = pointer.bundle_digest
        self._refused.pop(model, None)
        await self._announce(model)
        await asyncio.to_thread(self._loader.release)
        log.info("%s %s is live, after %.2f s", model, pointer.version, time.monotonic() - began)

    def _load(self, model: str, pointer: Pointer) -> Loaded:
        gently = self._registry.ready  # somebody may be asking
        return self._loader.load(model, pointer.version, pointer.bundle_digest, gently=gently)

    def _refuse(self, model: str, pointer: Pointer, why: str) -> None:
        if self._refused.get(model) != why:
            entry = self._registry.models.get(model)
            still = entry.versions[0].version if entry and entry.versions else "nothing"
            log.error("%s %s is refused, %s stays live: %s", model, pointer.version, still, why)
        self._refused[model] = why
        self._registry.refuse(model, pointer.version, "the bundle was refused; the server's log says why")


async def warm(served: Loaded) -> None:
    """Answers a few made-up rows, so that the first real ones find everything allocated; also the last test of the weights.

    Raises:
        BundleError: the answers are no probabilities, or there are none.
    """
    try:
        rows, tensors = served.sample()
        # behind all who ask, and so no caller of theirs for whom passes would be smaller
        call = Call(time.monotonic() + WARM_UP, "warm-up", LOWEST_PRIORITY, served)
        answer = await served.answer(rows, tensors, call)
    except Exception as error:  # a Refusal, or whatever its tokenizer and torch raise: it must cost this version alone
        raise BundleError(f"{served.name} {served.version} cannot answer: {error}") from error
    if answer.errors:
        raise BundleError(f"{served.name} {served.version} cannot answer: {next(iter(answer.errors.values()))}")
    several = json.loads(served.card).get("multi_label", ())
    for name, tensor in answer.tensors.items():
        head, _, kind = name.rpartition(".")
        if kind == "probabilities" and not _are_probabilities(np.asarray(tensor), exclusive=head not in several):
            raise BundleError(f"{served.name} {served.version}: {name} are no probabilities: the weights are broken")


def _are_probabilities(tensor: NDArray[np.float32], *, exclusive: bool) -> bool:
    """[n, labels]; exclusive: of which one is right, so that they add up to 1."""
    within = bool(((tensor >= 0) & (tensor <= 1 + 1e-6)).all())  # nor is NaN
    return within and (not exclusive or np.allclose(tensor.sum(axis=1), 1, atol=1e-3))
