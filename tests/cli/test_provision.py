"""`tidemill provision`, as a container runs it: before its servers, again, and over blob stores of all kinds."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.cli import parts, topics
from services.cli.local import kafka as kafka_server
from shared import claim
from tests.conftest import running


def start(folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """The command as a process; what it says goes to DIR/said."""
    ours = {f"TIDEMILL_{name.upper()}": value for name, value in environment.items()}
    with (folder / "said").open("wb") as said:
        command = [sys.executable, "-m", "services.cli", "provision"]
        return subprocess.Popen(command, env={**os.environ, **ours}, stdout=said, stderr=said)


def said(folder: Path) -> str:
    """In one line, whatever the width it was written for."""
    return " ".join((folder / "said").read_text().split())


def test_an_absent_kafka_is_waited_for(tmp_path: Path, postgres: str) -> None:
    """It says for what it waits, and makes every topic once the broker is there."""
    part = kafka_server.prepare(tmp_path / "kafka")
    process = start(tmp_path, kafka=part.address, postgres=postgres)
    try:
        deadline = time.monotonic() + 60
        while f"waiting for kafka: no Kafka broker answers ({part.address}" not in said(tmp_path):
            assert process.poll() is None, said(tmp_path)
            assert time.monotonic() < deadline, said(tmp_path)
            time.sleep(0.1)
        with running(part, tmp_path):
            assert process.wait(120) == 0, said(tmp_path)
    finally:
        process.kill()
        process.wait()
    for topic in topics.topics():
        assert topic.name in said(tmp_path).partition("topics made: ")[2]


def test_fewer_brokers_than_copies_are_waited_for(tmp_path: Path, postgres: str) -> None:
    """The first of three brokers to start is not yet a cluster in which three copies fit."""
    with running(kafka_server.prepare(tmp_path / "kafka"), tmp_path) as broker:  # its own: nobody has made the topics
        process = start(tmp_path, kafka=broker.address, postgres=postgres, replication="3")
        try:
            deadline = time.monotonic() + 60
            while "waiting for kafka: " not in said(tmp_path):
                assert process.poll() is None, said(tmp_path)
                assert time.monotonic() < deadline, said(tmp_path)
                time.sleep(0.1)
            assert "replication factor" in said(tmp_path).lower()
        finally:
            process.kill()
            process.wait()


def test_it_is_safe_to_repeat_and_marks_the_stores(tmp_path: Path, kafka, postgres: str) -> None:
    """A store is marked once; one that is absent is named, not made: it may be mounted later."""
    (tmp_path / "blobs").mkdir()
    stores = json.dumps({"x-rays": str(tmp_path / "blobs"), "ct": str(tmp_path / "absent")})
    for _ in range(2):
        process = start(tmp_path, kafka=kafka.bootstrap, postgres=postgres, blobs=stores)
        assert process.wait(120) == 0, said(tmp_path)
        assert f"blob store x-rays: {tmp_path}/blobs is marked" in said(tmp_path)
        assert f"blob store ct: {tmp_path}/absent cannot be marked (No such file or directory)" in said(tmp_path)
    assert "topics made: none, all were there" in said(tmp_path)
    assert [each.name for each in (tmp_path / "blobs").iterdir()] == [claim.MARKER]
    assert not (tmp_path / "absent").exists()


def test_the_local_stack_marks_its_own_store_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that the environment names stays as it is, for it may not be mounted just now."""
    monkeypatch.delenv("TIDEMILL_BLOBS", raising=False)
    parts.make_store(tmp_path, parts.folders(tmp_path))
    assert (tmp_path / "blobs" / claim.MARKER).is_file()
    (tmp_path / "mount").mkdir()
    monkeypatch.setenv("TIDEMILL_BLOBS", json.dumps({"x-rays": str(tmp_path / "mount")}))
    parts.make_store(tmp_path / "other", parts.folders(tmp_path / "other"))
    assert list((tmp_path / "mount").iterdir()) == []
    assert not (tmp_path / "other").exists()
