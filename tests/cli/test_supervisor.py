"""The supervisor keeps its parts running, says so on disk, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from services.cli import stale, state
from services.cli.__main__ import app
from services.cli.crew import Crew
from services.cli.keeper import backoff
from services.cli.problem import Problem
from tests.cli.small_stack import listener


@pytest.fixture
def small_stack(tmp_path):
    """A supervisor with two listeners as a process of its own, ready; killed at the end if it still runs."""
    read_end, write_end = os.pipe()
    script = Path(__file__).with_name("small_stack.py")
    command = [sys.executable, str(script), str(tmp_path), str(write_end)]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command, pass_fds=(write_end,), stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": "."}
        )
    os.close(write_end)
    assert os.read(read_end, 16) == b"ready", (tmp_path / "said").read_text()
    os.close(read_end)
    yield process
    process.kill()
    process.wait()


def pids(data):
    return json.loads((data / "processes.json").read_text())


def until(condition, within=30.0):
    """Waits for a condition, generously."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_killed_part_is_started_again(tmp_path, small_stack):
    """After kill -9 a part gets a new process; the other one stays, and the restart is counted."""
    before = pids(tmp_path)
    os.kill(before["one"], signal.SIGKILL)
    until(lambda: pids(tmp_path).get("one") not in {None, before["one"]})
    until(lambda: state.read(tmp_path)["processes"]["one"]["ready"])
    assert pids(tmp_path)["two"] == before["two"]
    assert state.read(tmp_path)["processes"]["one"]["restarts"] == 1
    until(lambda: "one was killed by SIGKILL" in (tmp_path / "said").read_text())


def test_down_ends_everything(tmp_path, small_stack):
    """`tidemill down` returns when supervisor and parts are gone, and a second one says that nothing runs."""
    before = pids(tmp_path)
    result = CliRunner().invoke(app, ["down", "--data", str(tmp_path)])
    assert result.exit_code == 0
    assert small_stack.wait(30) == 0
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    assert not (tmp_path / "stack.env").exists()
    assert "no stack runs" in CliRunner().invoke(app, ["down", "--data", str(tmp_path)]).output


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends what was left")
def test_killed_supervisor_leaves_no_orphan(tmp_path, small_stack):
    """When the supervisor is killed with kill -9, the kernel ends its parts; the lock is free again."""
    before = pids(tmp_path)
    small_stack.kill()
    small_stack.wait()
    until(lambda: not any(psutil.pid_exists(pid) for pid in before.values()))
    assert state.supervisor(tmp_path) is None


def test_up_says_that_the_stack_runs_already(tmp_path, small_stack):
    """A second `up` on a running stack changes nothing, says so and succeeds."""
    before = pids(tmp_path)
    result = CliRunner().invoke(app, ["up", "--data", str(tmp_path)])
    assert result.exit_code == 0
    assert f"running already (supervisor {small_stack.pid})" in result.output.replace("\n", " ")
    assert pids(tmp_path) == before


def test_sweep_kills_only_what_was_left(tmp_path):
    """A left-over process is killed; one that merely has its number now is not."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, process_group=0) as left:
        shown = {
            "left": {"pid": left.pid, "born": state.born(left.pid)},
            "other": {"pid": os.getpid(), "born": 1.0},
        }
        (tmp_path / "state.json").write_text(json.dumps({"processes": shown}))
        assert stale.sweep(tmp_path) == ["left"]
        assert left.wait() == -signal.SIGKILL


async def test_part_that_never_comes_up_is_explained(tmp_path):
    """The problem names the part, how it ended, and the end of its log."""
    crew = Crew(tmp_path, lambda line: None)
    with pytest.raises(Problem, match=r"(?s)broken \(.*started \d+ times.*listener: told to fail"):
        await crew.ready([crew.start(listener("broken", "fail"))], 3)
    await crew.stop()


async def test_program_that_does_not_exist_is_explained(tmp_path):
    """A part whose program is missing is a problem that says so, not a traceback."""
    part = listener("missing")
    crew = Crew(tmp_path, lambda line: None)
    missing = type(part)(part.name, ("/nowhere/program",), part.address, part.probe)
    with pytest.raises(Problem, match="cannot run /nowhere/program: No such file"):
        await crew.ready([crew.start(missing)], 2)
    await crew.stop()


async def test_stop_ends_servers_last(tmp_path):
    """A server ends only after the parts that use it have."""
    crew = Crew(tmp_path, lambda line: None)
    user, server = listener("user"), listener("server")
    server = type(server)(server.name, server.command, server.address, server.probe, layer=2)
    keepers = [crew.start(server), crew.start(user)]
    await crew.ready(keepers, 60)
    order = []
    for keeper in keepers:
        ended = keeper.stop

        async def stop(keeper=keeper, ended=ended):
            await ended()
            order.append(keeper.part.name)

        keeper.stop = stop
    await crew.stop()
    assert order == ["user", "server"]


def test_backoff_is_quick_first_and_bounded():
    """What had worked comes back at once; what never works is tried every ten seconds in the end."""
    assert backoff(0) <= 0.1
    assert [backoff(failures) for failures in (1, 2, 3)] == [0.1, 0.1, 0.1]
    assert [backoff(failures) for failures in (4, 5, 50, 10_000)] == [0.2, 0.4, 10.0, 10.0]


def test_lock_is_exclusive(tmp_path):
    """Only one supervisor can have a stack, and it is found by its pid."""
    held = state.lock(tmp_path)
    assert held is not None
    assert state.supervisor(tmp_path) == os.getpid()
    assert state.lock(tmp_path) is None
    held.close()
    assert state.supervisor(tmp_path) is None
