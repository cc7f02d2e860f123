"""What a decoder's parent and child say to each other, and the child's limits.

To the child: length (uint32, big endian), image bytes. Back, once at the start and after each image: length of a JSON object, the
object, and where it has "facts" the SIDE x SIDE bytes of the picture.
"""

import json
from dataclasses import dataclass
from typing import Any, BinaryIO

_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one image."""

    memory: int = 1 << 30  # bytes of address space beyond what the idle child has
    cpu: int = 10  # seconds of processor time


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(_PREFIX, "big") + body


def receive(source: BinaryIO) -> bytes | None:
    """One frame's body; None at the end of the stream, also in the middle of a frame."""
    prefix = source.read(_PREFIX)
    if len(prefix) < _PREFIX:
        return None
    size = int.from_bytes(prefix, "big")
    body = source.read(size)
    return body if len(body) == size else None


def reply(sink: BinaryIO, answer: dict[str, Any], pixels: bytes = b"") -> None:
    sink.write(frame(json.dumps(answer).encode()) + pixels)
    sink.flush()
