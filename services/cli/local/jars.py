"""Kafka's jars: fetched once a user, each checked against the sum in `kafka.lock`."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

LOCK = Path(__file__).with_name("kafka.lock")


def collect(cache: Path, lock: Path = LOCK, say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder with exactly the jars of `lock`; what is missing there is fetched.

    A folder that is complete is trusted by file name and size of the listing alone: its jars were checked when they came.

    Raises:
        RuntimeError: a jar could not be fetched, or is not the one that the lock names.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_name(cache.name + ".busy").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)  # another `tidemill up` or test run may be fetching them just now
        if not cache.is_dir():
            say("fetching Kafka (46 files, 45 MB, once)")
            _fetch(read(lock), cache)
    return cache


def read(lock: Path) -> dict[str, str]:
    """``group:artifact:version`` → sha256."""
    rows = (line.split() for line in lock.read_text().splitlines())
    return {coordinate: digest for digest, coordinate in rows}


def _fetch(wanted: dict[str, str], cache: Path) -> None:
    from jgo.maven import MavenContext  # late: it costs half a second, and a complete cache needs none of it

    with TemporaryDirectory(dir=cache.parent) as scratch:
        context = MavenContext(repo_cache=Path(scratch) / "repository", timeout=60)
        jars = Path(scratch) / "jars"
        jars.mkdir()

        def fetch(coordinate: str) -> None:
            group, artifact, version = coordinate.split(":")
            try:
                jar = context.project(group, artifact).at_version(version).artifact().resolve()
            except Exception as error:  # jgo lets through whatever its HTTP library raises
                raise RuntimeError(
                    f"cannot fetch {coordinate}: {error}. Is there a network? An existing Kafka is used instead if TIDEMILL_KAFKA names it."
                ) from error
            found = hashlib.sha256(jar.read_bytes()).hexdigest()
            if found != wanted[coordinate]:
                raise RuntimeError(f"{coordinate} has sha256 {found}, but kafka.lock says {wanted[coordinate]}")
            shutil.copyfile(jar, jars / jar.name)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fetch, wanted))
        os.replace(jars, cache)
