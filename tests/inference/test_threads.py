"""Who waits how, and who may stay."""

import os
import threading

import pytest

from services.inference.threads import WAITING, run_apart, set_waiting


def test_workers_spin_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody has said otherwise."""
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    set_waiting()
    assert {name: os.environ[name] for name in WAITING} == dict(WAITING)
    for name in WAITING:
        monkeypatch.delenv(name)


def test_what_a_deployment_says_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it would not be what it asked for either."""
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    set_waiting()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert "GOMP_SPINCOUNT" not in os.environ


async def test_work_apart_ends_with_its_thread() -> None:
    """What it returns and what it raises reach the caller; its thread is not kept for more."""
    thread = await run_apart(threading.current_thread)
    assert thread is not threading.current_thread()
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(ZeroDivisionError):
        await run_apart(lambda by: 1 // by, 0)
