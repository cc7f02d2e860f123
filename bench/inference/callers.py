"""The callers, in a process of their own: `python -m bench.inference.callers ADDRESS`.

Requests are written before the clock starts, and answers are read as any client reads them. All calls of a process share a connection.
"""

import asyncio
import itertools
import json
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop

from bench.inference.traffic import Heard, Stream, Told
from protos import inference_pb2 as oip

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_OPTIONS = [(f"grpc.max_{way}_message_length", 64 << 20) for way in ("send", "receive")]
_IMAGES = 16  # drawn for a stream of images
_GRACE = 30.0  # seconds for the calls in hand when a job's time is up
_PAUSE = 0.01  # seconds before a client whose call was refused sends another

Call = tuple[bytes, int]  # the request, and the first of its rows


def write(stream: Stream, texts: list[str]) -> list[Call]:
    """Every request that the stream will send, or enough of them to go round."""
    many = stream.calls or max(len(texts) // stream.rows, 1)
    if stream.image:
        return [(_image(stream, number), number) for number in range(min(many, _IMAGES))]
    starts = ((stream.first + number * stream.rows) % len(texts) for number in range(many))
    return [(_text(stream, texts, start), start) for start in starts]


def _text(stream: Stream, texts: list[str], start: int) -> bytes:
    rows = [texts[(start + i) % len(texts)].encode() for i in range(stream.rows)]
    raw = b"".join(part for row in rows for part in (struct.pack("<I", len(row)), row))
    return _request(stream, "text", "BYTES", (len(rows),), raw)


def _image(stream: Stream, number: int) -> bytes:
    shape = (stream.rows, stream.image, stream.image)
    pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
    return _request(stream, "image", "UINT8", shape, pixels.tobytes())


def _request(stream: Stream, name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> bytes:
    request = oip.ModelInferRequest(model_name=stream.model, raw_input_contents=[raw])
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    if stream.priority:
        request.parameters["priority"].uint64_param = stream.priority
    written: bytes = request.SerializeToString()
    return written


class Caller:
    """One stream on its way."""

    def __init__(self, stream: Stream, texts: list[str], infer: Callable[..., Any]) -> None:
        self.heard = Heard(stream)
        self._stream, self._infer, self._texts = stream, infer, len(texts)
        self._metadata = (("tidemill-caller", stream.caller),)
        self._requests = write(stream, texts)

    async def run(self, until: float, seed: int) -> None:
        """until: time.time() after which it sends nothing more."""
        if self._stream.rate:
            await self._open(until, random.Random(seed))
        else:
            shared = iter(self._requests) if self._stream.calls else itertools.cycle(self._requests)
            await asyncio.gather(*(self._closed(shared, until) for _ in range(self._stream.clients)))

    async def _closed(self, requests: Iterator[Call], until: float) -> None:
        for request in requests:
            due = time.time()
            if due >= until:
                return
            if not await self._call(request, due):
                await asyncio.sleep(_PAUSE)

    async def _open(self, until: float, chance: random.Random) -> None:
        calls: set[asyncio.Task[bool]] = set()
        due = time.time()
        for request in itertools.cycle(self._requests):
            due += chance.expovariate(self._stream.rate)
            if due >= until:
                break
            if (pause := due - time.time()) > 0:
                await asyncio.sleep(pause)
            task = asyncio.ensure_future(self._call(request, due))
            calls.add(task)
            task.add_done_callback(calls.discard)
        if calls:
            await asyncio.wait(calls, timeout=_GRACE)

    async def _call(self, request: Call, due: float) -> bool:
        """Whether it was answered."""
        left = due + self._stream.deadline - time.time()
        try:
            response = await self._infer(request[0], timeout=max(left, 0.001), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            self.heard.calls.append(Told(due, time.time() - due, error.code().name))
            return False
        self.heard.calls.append(Told(due, time.time() - due, "OK", response.model_version))
        if self._stream.labels:
            self._read(response, request[1])
        return True

    def _read(self, response: oip.ModelInferResponse, start: int) -> None:
        shape = tuple(response.outputs[0].shape)
        likeliest = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(shape).argmax(1)
        for row, label in enumerate(likeliest.tolist()):
            self.heard.labels[(start + row) % self._texts] = label


async def perform(job: dict[str, Any], texts: list[str], infer: Callable[..., Any]) -> list[dict[str, Any]]:
    callers = [Caller(Stream(**stream), texts, infer) for stream in job["streams"]]
    until = time.time() + (job["seconds"] or 3600.0)
    await asyncio.gather(*(each.run(until, job["seed"] + number) for number, each in enumerate(callers)))
    return [
        {"calls": [[t.due, t.seconds, t.code, t.version] for t in each.heard.calls], "labels": each.heard.labels}
        for each in callers
    ]


def _read_texts(file: str) -> list[str]:
    texts: list[str] = json.loads(Path(file).read_text(encoding="utf-8"))
    return texts


async def work(address: str) -> None:
    """Answers jobs until its input ends."""
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
        infer = channel.unary_unary(_METHOD, None, oip.ModelInferResponse.FromString)
        print(json.dumps("ready"), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            job = json.loads(line)
            print(json.dumps(await perform(job, _read_texts(job["texts"]), infer)), flush=True)


if __name__ == "__main__":
    uvloop.run(work(sys.argv[1]))
