"""Our own server keeps to the protocol, also when it is busy and when it is full."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from services.inference.text import EncoderDevice
from services.inference.units import Unit
from tests.inference.conftest import Running
from tests.inference.identity import Fault, running_identity
from tests.inference.test_conformance import KINDS


async def conform(address: str, *options: str) -> tuple[int | None, bytes]:
    """The command as anyone runs it: (exit status, what it printed)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", "conformance", address, *options, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 300)
    return process.returncode, out


async def test_our_server_passes_every_case(running: Running) -> None:
    """And hardly a case says nothing about us."""
    status, out = await conform(running.address, "--json")
    report = json.loads(out)
    assert [each for each in report["results"] if each["outcome"] == "fail"] == []
    assert status == 0
    assert report["models"] == ["imaging", "intent", "risk"]
    passed = {each["case"] for each in report["results"] if each["outcome"] == "pass"}
    silent = {each["case"] for each in report["results"]} - passed
    # no input of ours is of another datatype, the first is BYTES everywhere, and every dimension is open
    expected = {f"datatype.{kind}" for kind in KINDS} - {"datatype.BYTES", "datatype.UINT8"}
    assert silent == expected | {"datatype.wrong.BYTES", "datatype.nan", "shape.fixed"}


async def test_our_server_keeps_its_word_under_load(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits behind a pass expires uncomputed or is overtaken. Nothing waits for a test's models: each row takes 10 ms."""
    compute = EncoderDevice.run

    def compute_slowly(self: EncoderDevice, units: Sequence[Unit]) -> Any:
        time.sleep(0.01 * len(units))
        return compute(self, units)

    monkeypatch.setattr(EncoderDevice, "run", compute_slowly)
    encoder = running.registry.find("intent")._branches["*"].encoder  # type: ignore[attr-defined]
    monkeypatch.setattr(encoder, "budget", 128)
    cases = ("load.expired", "load.priority")
    chosen = [option for case in cases for option in ("--case", case)]
    status, out = await conform(running.address, "--load", *chosen, "--model", "intent", "--json")
    results = json.loads(out)["results"]
    assert [(each["case"], each["outcome"]) for each in results] == [(case, "pass") for case in cases], results
    assert status == 0


async def test_our_server_is_full_in_order(running: Running) -> None:
    """The one case under load that does not depend on how fast a test's models are."""
    status, out = await conform(running.address, "--load", "--case", "load.full", "--model", "intent", "--json")
    (result,) = json.loads(out)["results"]
    assert (status, result["outcome"]) == (0, "pass"), result["seen"]


async def test_the_command_tells_a_person_what_failed() -> None:
    """Exit status 1, the case, what was seen and what was expected."""
    with running_identity(Fault(methods={"ServerLiveResponse": lambda answer: answer.Clear()})) as address:
        status, out = await conform(address, "--case", "server")
    assert status == 1
    assert b"server.live" in out
    assert b"expected: live" in out
    assert b"1 fail" in out
