"""`python -m shared.picture.child`: reads images for its parent, within limits that the kernel enforces.

It ends when its stdin does, so it never outlives its parent by more than one image.
"""

import math
import os
import resource
from dataclasses import asdict
from typing import Any

from shared.errors import Reject
from shared.picture.pipe import CPU_SECONDS, MEMORY, receive, reply
from shared.picture.reading import read


def main() -> None:
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a decoder that prints must not speak in our place
    _limit()
    reply(sink, {"ready": True})
    while (image := receive(source)) is not None:
        _allow_cpu()
        answer, pixels = _answer(image)
        del image
        reply(sink, answer, pixels)


def _answer(image: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        picture = read(image)
    except Reject as reject:
        return {"reject": [reject.reason, reject.detail, reject.field]}, b""
    except (MemoryError, RecursionError) as error:
        return {"exhausted": type(error).__name__}, b""
    return {"facts": asdict(picture.facts)}, picture.pixels.tobytes()


def _limit() -> None:
    """Limits address space, files and core dumps for good; CPU time is renewed for each image."""
    with open("/proc/self/statm", "rb") as statm:
        idle = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (idle + MEMORY, idle + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
