"""One decoder's parent: starts the child, speaks to it, and ends it if it takes too long."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from shared.errors import Reject, Unavailable
from shared.picture.picture import SIDE, Facts, Picture
from shared.picture.pipe import Limits, frame, receive

START_SECONDS = 40
WALL_FACTOR = 5  # how much longer than its processor time an image may take, for machines that are busy; less than settlement.HANG
_ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")  # of our environment, which holds addresses and credentials


class Died(Exception):  # noqa: N818 - a state, not a fault of the image: that is for the caller to judge
    """The child ended before it answered."""


class Parent:
    """`alive` turns false when the child has ended, or must not get another image."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", "shared.picture.child", str(limits.memory), str(limits.cpu)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # decoders quote what they choke on
                cwd=_ROOT,
                env=environment | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
            )
        except OSError as error:
            raise Unavailable("image decoder", f"no process can be started: {error.strerror}") from error
        self._stdin = cast(BinaryIO, self._process.stdin)
        self._stdout = cast(BinaryIO, self._process.stdout)
        self._fresh = True
        self.alive = True
        try:
            self._exchange(b"", START_SECONDS)
        except Died as died:
            self.end()
            raise Unavailable("image decoder", f"{died}; `python -m shared.picture.child` shows why") from died

    def read(self, data: bytes) -> Picture:
        """
        Raises:
            Died: the child ended, or has too little memory left for the image.
            Reject: the image cannot be decoded.
            Unavailable: the child got too little processor time to answer.
        """
        answer, pixels = self._exchange(frame(data), WALL_FACTOR * self._limits.cpu)
        fresh, self._fresh = self._fresh, False
        if "reject" in answer:
            raise Reject(*answer["reject"])
        if "exhausted" in answer:
            self.alive = False
            if fresh:
                limit = f"the image needs more than {self._limits.memory >> 20:,} MiB of memory to decode"
                raise Reject("IMAGE_TOO_LARGE", limit, "image")
            raise Died(answer["exhausted"])
        return Picture(Facts(**answer["facts"]), np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE))

    def end(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _exchange(self, message: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Sends, and waits for the answer. Kills the child after `seconds`, even one that is stopped."""
        overdue = threading.Event()

        def stop() -> None:
            overdue.set()
            self._process.kill()

        watchdog = threading.Timer(seconds, stop)
        watchdog.daemon = True
        watchdog.start()
        try:
            return self._converse(message)
        except (BrokenPipeError, EOFError) as error:
            self.alive = False
            code = self._process.wait()
            if overdue.is_set():  # a decoder at work would have used up its processor time first
                raise Unavailable(
                    "image decoder", f"no answer within {seconds:.0f} s; is the machine overloaded?"
                ) from error
            if code == -signal.SIGXCPU:
                limit = f"the image was not decoded within {self._limits.cpu} s of processor time"
                raise Reject("IMAGE_DECODE_TIMEOUT", limit, "image") from error
            raise Died(signal.Signals(-code).name if code < 0 else f"exit status {code}") from error
        finally:
            watchdog.cancel()

    def _converse(self, message: bytes) -> tuple[dict[str, Any], bytes]:
        self._stdin.write(message)
        self._stdin.flush()
        body = receive(self._stdout)
        if body is None:
            raise EOFError
        answer: dict[str, Any] = json.loads(body)
        size = SIDE * SIDE if "facts" in answer else 0
        pixels = self._stdout.read(size)
        if len(pixels) < size:
            raise EOFError
        return answer, pixels
