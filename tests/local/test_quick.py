"""Java's ahead-of-time cache is used where it is, and not needed."""

import pytest

from services.cli import child
from services.cli.local import kafka


@pytest.mark.parametrize("made", [True, False])
def test_cache_is_used_only_if_it_was_made(tmp_path, monkeypatch, made):
    """The broker is told of the cache if there is one."""
    cache = tmp_path / "kafka.aot"
    if made:
        cache.touch()
    monkeypatch.setattr(kafka, "quick", lambda: cache)
    part = kafka.prepare(tmp_path / "kafka")
    assert (f"-XX:AOTCache={cache}" in part.command) is made


def test_spoilt_cache_does_no_harm(tmp_path, monkeypatch):
    """A broker whose cache was cut short starts as if there were none."""
    cache = tmp_path / "kafka.aot"
    cache.write_bytes(kafka.quick().read_bytes()[:1_000_000] if kafka.quick().exists() else b"not a cache")
    monkeypatch.setattr(kafka, "quick", lambda: cache)
    part, log = kafka.prepare(tmp_path / "kafka"), tmp_path / "log"
    process = child.start(part, log)
    try:
        child.await_ready(part, process, log, within=120)
        assert process.poll() is None
    finally:
        child.stop(part, process)
