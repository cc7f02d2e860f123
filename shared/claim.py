"""Claim check: a large payload lies in a configured store, and the event names it by store, key and SHA-256.

Nothing in a request is ever fetched as a URL: a claim can name only what lies below a folder that the operator configured
(`TIDEMILL_BLOBS='{"x-rays": "/data/x-rays"}'`). Another kind of store is another class with `Folder`'s one method.

Which failures are the event's fault and which are ours:

- unknown store, bad key, no such file in a working store, too large, other content: `Reject`. So a producer puts the whole
  file in its place (write beside it, then rename) *before* it sends the event.
- the store's folder absent, unreadable, stale, hanging or **empty** (what an unmounted volume looks like), or a file that we may
  not read: `Unavailable`. The event waits until an operator has mended it; nothing is lost to a missing mount. A store in which
  nothing lies as yet is told from that by the marker that `tidemill provision` and `tidemill up` leave in it.
"""

import asyncio
import contextlib
import errno
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from shared.aside import Aside, Full
from shared.errors import Reject, Unavailable

MAX_CLAIM_BYTES = 64 * 1024 * 1024
READ_SECONDS = 10.0  # a store that takes longer hangs, as a network mount does whose server is gone
MAX_KEY_BYTES = 1024
MARKER = ".tidemill-store"  # no key can name it, for none begins with a dot
_STORE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+@,-]{0,254}")  # of a key, between slashes
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ENXIO}  # the last: a socket
_LINKED = {errno.ELOOP, errno.EMLINK}  # what O_NOFOLLOW says of a symbolic link: Linux, BSD


class Claim(Protocol):
    """tidemill.v1.Claim, or anything else with these three."""

    @property
    def store(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Store(Protocol):
    def read(self, key: str, limit: int) -> bytes:
        """At most `limit` + 1 bytes, so that the caller sees an excess without reading all of it; may block."""
        ...


class Claims:
    """The configured stores, by name.

    Args:
        at_once: reads of one store, with those that nobody waits for any longer: a store that hangs is refused at once when it has
            so many, and holds up no other.
    """

    def __init__(
        self,
        blobs: Mapping[str, Path],
        limit: int = MAX_CLAIM_BYTES,
        seconds: float = READ_SECONDS,
        at_once: int = 8,
    ) -> None:
        self._stores: dict[str, Store] = {name: Folder(name, folder) for name, folder in blobs.items()}
        self._reading: dict[str, Aside[bytes]] = {name: Aside(at_once) for name in blobs}
        self._limit = limit
        self._seconds = seconds

    async def read(self, claim: Claim, field: str = "claim") -> bytes:
        """The claimed bytes, whose SHA-256 has been checked. Reads in a thread, off the event loop, which all callers share.

        Args:
            field: the claim's place in the request, for the messages.

        Raises:
            Reject: ``CLAIM_STORE_UNKNOWN``, ``CLAIM_KEY_INVALID``, ``CLAIM_NOT_FOUND``, ``CLAIM_TOO_LARGE``,
                ``CLAIM_SHA256_MISMATCH``.
            Unavailable: the store cannot be read just now.
        """
        store = self._check(claim, field)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._reading[claim.store](lambda: self._read(store, claim, field))
        except Full as full:
            raise Unavailable(f"blob store {claim.store}", f"reads of it do not end: {full}") from full
        except TimeoutError as error:
            raise Unavailable(f"blob store {claim.store}", f"no answer within {self._seconds:g} s") from error

    def _check(self, claim: Claim, field: str) -> Store:
        store = self._stores.get(claim.store)
        if store is None:
            name = f"{claim.store!r} is" if _STORE.fullmatch(claim.store) else "it is"
            raise Reject(
                "CLAIM_STORE_UNKNOWN", f"{field}.store must name a configured store; {name} none", f"{field}.store"
            )
        check_key(claim.key, field)
        if not _SHA256.fullmatch(claim.sha256):
            raise Reject(
                "CLAIM_SHA256_MISMATCH",
                f"{field}.sha256 must be the file's SHA-256 in 64 hexadecimal digits",
                f"{field}.sha256",
            )
        return store

    def _read(self, store: Store, claim: Claim, field: str) -> bytes:
        try:
            data = store.read(claim.key, self._limit)
        except Reject as reject:
            raise Reject(reject.reason, f"{field}.key {reject.detail}", f"{field}.key") from reject
        if len(data) > self._limit:
            raise Reject(
                "CLAIM_TOO_LARGE", f"{field}.key names a file larger than {self._limit:,} bytes", f"{field}.key"
            )
        if not hmac.compare_digest(hashlib.sha256(data).hexdigest(), claim.sha256.lower()):
            raise Reject(
                "CLAIM_SHA256_MISMATCH",
                f"{field}.sha256 is not the SHA-256 of the file; was it changed, or not yet whole when the event was sent?",
                f"{field}.sha256",
            )
        return data


def check_key(key: str, field: str = "claim") -> None:
    """A key is a relative path of plain names: letters, digits and ``. _ = + @ , -``, none of them hidden and none "..".

    Raises:
        Reject: ``CLAIM_KEY_INVALID``. The key itself is not repeated: file names hold people's names more often than they should.
    """
    parts = key.split("/")
    if len(key) > MAX_KEY_BYTES or ".." in key or not all(_PART.fullmatch(part) for part in parts):
        raise Reject(
            "CLAIM_KEY_INVALID",
            f"{field}.key must be a relative path of at most {MAX_KEY_BYTES:,} characters whose parts are made of "
            "letters, digits and ._=+@,- (no '..', no leading '.', '/' or '-')",
            f"{field}.key",
        )


def mark(folder: Path) -> None:
    """Leaves the marker in a store; does nothing where it is. The caller vouches that what is to be mounted there is.

    Raises:
        OSError: there is no such folder, or we may not write to it.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(folder / MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


class Folder:
    """A store in a folder. The folder itself may be a symbolic link (mounts are); nothing below it is followed."""

    def __init__(self, name: str, folder: Path) -> None:
        self._what = f"blob store {name}"
        self._folder = folder

    def read(self, key: str, limit: int) -> bytes:
        with self._open_root() as root:
            try:
                return _read(root, key.split("/"), limit)
            except OSError as error:
                if error.errno in _LINKED:
                    raise Reject("CLAIM_KEY_INVALID", "leads through a symbolic link") from error
                if error.errno == errno.ENAMETOOLONG:
                    raise Reject("CLAIM_KEY_INVALID", "is longer than the store's file system allows") from error
                if error.errno not in _GONE:
                    raise Unavailable(self._what, _say(error)) from error
                self._check_not_empty(root)
                raise Reject("CLAIM_NOT_FOUND", "names no file in the store") from error

    @contextlib.contextmanager
    def _open_root(self) -> Iterator[int]:
        try:
            root = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(self._what, _say(error)) from error
        try:
            yield root
        finally:
            os.close(root)

    def _check_not_empty(self, root: int) -> None:
        try:
            with os.scandir(root) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            raise Unavailable(self._what, _say(error)) from error
        if empty:
            raise Unavailable(self._what, "its folder is empty; is the volume mounted?")


def _read(root: int, parts: list[str], limit: int) -> bytes:
    """Opens part by part, each relative to the one before, so that no link can be slipped in between check and use."""
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Not blocking, or a named pipe would hold this thread for ever.
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        kind = os.fstat(file)
        if not stat.S_ISREG(kind.st_mode):
            raise Reject("CLAIM_NOT_FOUND", "names something that is not a file")
        if kind.st_size > limit:
            raise Reject("CLAIM_TOO_LARGE", f"names a file of {kind.st_size:,} bytes; the limit is {limit:,}")
        with open(file, "rb", closefd=False) as stream:
            return stream.read(limit + 1)
    finally:
        os.close(file)


def _say(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
