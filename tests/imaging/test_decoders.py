"""The decoders: real child processes, and what becomes of those that die."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.errors import Reject, Unavailable
from shared.picture import decoders as module
from shared.picture.decoders import TRIES, Decoders
from shared.picture.parent import Died, Parent
from shared.picture.pipe import Limits
from shared.picture.reading import read
from tests.imaging import samples


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    """One child, as in a small worker."""
    made = Decoders(1)
    yield made
    made.close()


def child_of(decoders: Decoders) -> Parent:
    """The idle child, taken out and put back."""
    child = decoders._idle.get_nowait()
    decoders._idle.put(child)
    return child


async def test_a_child_reads_what_we_read(decoders: Decoders) -> None:
    """The picture through the pipe is the one that was decoded, one image after another by the same child."""
    data = samples.dicom()
    picture = await decoders.read(data)
    first = child_of(decoders)
    assert np.array_equal(picture.pixels, read(data).pixels)
    assert picture.facts == read(data).facts
    with pytest.raises(Reject, match="IMAGE_FORMAT_UNKNOWN"):
        await decoders.read(b"no image")
    await decoders.read(samples.png(samples.grey8()))
    assert child_of(decoders) is first


async def test_more_images_than_children_wait_their_turn(decoders: Decoders) -> None:
    """A batch of images is read by few children."""
    pictures = await asyncio.gather(*(decoders.read(samples.png(samples.grey8())) for _ in range(8)))
    assert len({picture.pixels.tobytes() for picture in pictures}) == 1


async def test_who_leaves_takes_the_image_along(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a decoder is busy calls come and expire: their images must not gather in the queue of its thread."""
    going = threading.Event()
    monkeypatch.setattr(decoders, "_take", lambda fresh: going.wait(60) and Parent(Limits()))
    inside = asyncio.ensure_future(decoders.read(samples.dicom()))
    data = bytes(1000)
    before = sys.getrefcount(data)
    for _ in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(decoders.read(data), 0.01)
    gc.collect()
    assert sys.getrefcount(data) == before
    going.set()
    assert (await inside).facts.format == "DICOM"


async def test_an_image_does_not_suffer_for_a_killed_child(decoders: Decoders) -> None:
    """A child killed from outside is replaced, and the image read all the same."""
    await decoders.read(samples.dicom())
    os.kill(child_of(decoders)._process.pid, signal.SIGKILL)
    assert (await decoders.read(samples.dicom())).facts.format == "DICOM"


async def test_an_image_that_brings_down_every_child_is_refused(
    decoders: Decoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash that repeats in fresh children is the image's doing."""
    started = []

    class Crashing:
        alive = False

        def __init__(self, limits: Limits) -> None:
            started.append(limits)

        def read(self, data: bytes) -> None:
            raise Died("SIGSEGV")

        def end(self) -> None: ...

    monkeypatch.setattr(module, "Parent", Crashing)
    with pytest.raises(Reject, match="IMAGE_DECODE_FAILED"):
        await decoders.read(b"anything")
    assert len(started) == TRIES


async def test_an_image_that_needs_too_much_memory_is_refused() -> None:
    """The kernel refuses the child the memory; the child lives, or is replaced, and the next image is read."""
    decoders = Decoders(1, Limits(memory=64 << 20))
    try:
        with pytest.raises(Reject, match=r"IMAGE_TOO_LARGE.*memory"):
            await decoders.read(samples.png(np.zeros((5000, 5000, 3), np.uint8), compress_level=1))
        assert (await decoders.read(samples.dicom())).facts.format == "DICOM"
    finally:
        decoders.close()


async def test_an_image_that_takes_for_ever_is_stopped() -> None:
    """A JPEG of 150 kB with thousands of scans would keep a core busy for a minute; the next image is read as ever."""
    decoders = Decoders(1, Limits(cpu=1))
    bomb = samples.scan_bomb(side=4000, scans=2000)
    assert len(bomb) < 200_000
    try:
        with pytest.raises(Reject, match="IMAGE_DECODE_TIMEOUT"):
            await decoders.read(bomb)
        assert (await decoders.read(samples.dicom())).facts.format == "DICOM"
    finally:
        decoders.close()


async def test_a_child_gets_none_of_our_secrets(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever breaks out of a decoder finds no address and no password in its environment."""
    monkeypatch.setenv("TIDEMILL_POSTGRES", "postgresql://user:password@host/db")
    await decoders.read(samples.dicom())
    environment = Path(f"/proc/{child_of(decoders)._process.pid}/environ")
    assert b"TIDEMILL" not in await asyncio.to_thread(environment.read_bytes)


async def test_children_end_with_their_parent(decoders: Decoders) -> None:
    """No child outlives the end of its input."""
    await decoders.read(samples.dicom())
    child = child_of(decoders)
    child._stdin.close()
    assert await asyncio.to_thread(child._process.wait, 60) == 0
    child.alive = False


async def test_no_child_at_all_is_waited_for(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that cannot start a process is our trouble, not the image's."""
    monkeypatch.setattr("shared.picture.parent.sys.executable", "/nonexistent/python")
    with pytest.raises(Unavailable, match="image decoder"):
        await decoders.read(samples.dicom())
