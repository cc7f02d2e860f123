"""The acceptance client: tritonclient as it is published, sync, streaming and aio."""

import asyncio
import sys
from pathlib import Path

from tests.inference.conftest import Running


async def test_an_unmodified_tritonclient_works(running: Running) -> None:
    """In a process of its own, because its messages and ours have the same names."""
    program = Path(__file__).with_name("triton_calls.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        running.address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 240)
    assert (process.returncode, out) == (0, b"ok\n"), err.decode()
