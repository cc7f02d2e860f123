"""Frames between two processes of this machine, over Unix domain sockets. What one turn of the event loop sends is one write."""

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import cast

MAX_FRAME = 96 << 20  # bytes: above the largest request, and an answer with an embedding for each of its rows
_HEADER = struct.Struct("<IBI")  # bytes that follow, kind, number


class Kind(IntEnum):
    """What a frame is. Its number says which call, state or count it belongs to."""

    # From a front to the device.
    ASK = 1  # rows to be answered: `asking`
    CANCEL = 2  # whoever asked has left
    FORGET = 3  # the front will not ask the version of this number any more
    APPLIED = 4  # the state of this number is what the front's callers see now
    TALLY = 5  # its statistics so far, as a ModelStatisticsResponse
    CONSULT = 6  # a question to the process as a whole: a method's name, a zero byte, its request
    # From the device to a front.
    ANSWER = 16  # what an ASK or a CONSULT is answered with
    REFUSAL = 17  # ... or refused with
    STATE = 18  # what is live, as JSON
    COUNT = 19  # asks for a TALLY
    PULSE = 20  # seconds until what waits now is computed
    LEAVE = 21  # finish the calls in hand and end


Hear = Callable[[int, int, bytes], None]


class Pipe(asyncio.Protocol):
    """`hear` is told kind, number and body of every frame, on the event loop; `closed` is done when the other side is gone."""

    def __init__(self, hear: Hear) -> None:
        self._hear, self._read, self._written = hear, bytearray(), list[bytes]()
        self._transport: asyncio.Transport
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()

    def send(self, kind: Kind, number: int = 0, *parts: bytes) -> None:
        """To a side that is gone, nothing is.

        Raises:
            ValueError: it is larger than a frame may be.
        """
        if self._closing:
            return
        size = sum(map(len, parts))
        if size > MAX_FRAME:
            raise ValueError(f"{size:,} bytes are more than the {MAX_FRAME:,} of a frame")
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written += (_HEADER.pack(size, kind, number), *parts)

    def close(self) -> None:
        self._flush()
        self._closing = True
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        read = self._read
        read += data
        at, whole = 0, len(read)
        while whole - at >= _HEADER.size:
            size, kind, number = _HEADER.unpack_from(read, at)
            if size > MAX_FRAME:
                raise ValueError(f"a frame of {size:,} bytes; the limit is {MAX_FRAME:,}")
            end = at + _HEADER.size + size
            if end > whole:
                break
            body = bytes(memoryview(read)[at + _HEADER.size : end])
            at = end
            self._hear(kind, number, body)
        del read[:at]

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if not self.closed.done():
            self.closed.set_result(None)

    def _flush(self) -> None:
        written, self._written = self._written, []
        if written and not self._closing:
            self._transport.write(b"".join(written))


async def connect(end: socket.socket, hear: Hear) -> Pipe:
    """The pipe that has this end."""
    _, pipe = await asyncio.get_running_loop().create_unix_connection(lambda: Pipe(hear), sock=end)
    return pipe
