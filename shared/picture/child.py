"""`python -m shared.picture.child [MEMORY CPU]`: reads images for its parent, within limits that the kernel enforces.

It ends when its stdin does, so it never outlives its parent by more than one image.
"""

import math
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from shared.errors import Reject
from shared.picture.pipe import Limits, receive, reply
from shared.picture.reading import read


def main(limits: Limits) -> None:
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a decoder that prints must not speak in our place
    _limit(limits.memory)
    reply(sink, {"ready": True})
    while (image := receive(source)) is not None:
        _allow_cpu(limits.cpu)
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


def _limit(memory: int) -> None:
    """Limits address space, files and core dumps for good; CPU time is renewed for each image."""
    with open("/proc/self/statm", "rb") as statm:
        idle = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (idle + memory, idle + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _allow_cpu(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(Limits(*map(int, sys.argv[1:])))
