"""Kafka's jars are exactly those of the lock file."""

import hashlib
import re

import pytest

from services.cli.local import jars


def test_lock_names_versions_and_sums_and_no_address():
    """Each line of the lock is a sha256 and a coordinate with a fixed version; no line names a host."""
    wanted = jars.read(jars.LOCK)
    assert "org.apache.kafka:kafka_2.13:4.3.0" in wanted
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in wanted.values())
    assert all(re.fullmatch(r"[\w.-]+:[\w.-]+:\d[\w.-]*", coordinate) for coordinate in wanted)
    assert "://" not in jars.LOCK.read_text()


def test_jar_with_another_sum_is_refused(tmp_path, monkeypatch):
    """A jar that is not the one of the lock is refused by name, and nothing of it stays in the cache."""
    jar = tmp_path / "fake-1.jar"
    jar.write_bytes(b"not the right bytes")
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"{hashlib.sha256(b'the right bytes').hexdigest()}  org.example:fake:1\n")
    monkeypatch.setattr("jgo.maven.Artifact.resolve", lambda artifact: jar)
    with pytest.raises(RuntimeError, match=r"org\.example:fake:1 has sha256 .* but kafka\.lock says"):
        jars.collect(tmp_path / "cache", lock)
    assert not (tmp_path / "cache").exists()


def test_unreachable_repository_says_what_to_do(tmp_path, monkeypatch):
    """Without a network the error names the jar and the way around it."""
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"{'0' * 64}  org.example:fake:1\n")

    def fail(artifact):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("jgo.maven.Artifact.resolve", fail)
    with pytest.raises(RuntimeError, match=r"cannot fetch org\.example:fake:1: no route to host.*TIDEMILL_KAFKA"):
        jars.collect(tmp_path / "cache", lock)
