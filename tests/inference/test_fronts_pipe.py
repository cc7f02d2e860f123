"""What fronts and the process with the device say to each other, and where fronts listen."""

import asyncio
import os
import socket
import time

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.inference.engine import Call
from services.inference.fronts.asking import (
    read_answer,
    read_ask,
    read_refusal,
    write_answer,
    write_ask,
    write_refusal,
)
from services.inference.fronts.pipe import MAX_FRAME, Kind, Pipe, connect
from services.inference.fronts.port import count_fronts, reserved
from services.inference.refusal import full, invalid
from services.inference.served import Answer
from services.inference.tensors import Tensor

TENSOR = st.lists(st.binary(max_size=20), max_size=9) | arrays.arrays(
    st.sampled_from(("<f4", "|u1", "|b1", "<i8")), arrays.array_shapes(max_dims=4, max_side=4)
)
TENSORS = st.dictionaries(st.text(max_size=20), TENSOR, max_size=4)


def check_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        if isinstance(tensor, list):
            assert found[name] == tensor
        else:
            np.testing.assert_array_equal(found[name], tensor)
            assert found[name].dtype == tensor.dtype  # type: ignore[union-attr]


@settings(max_examples=50, deadline=None)
@given(tensors=TENSORS, caller=st.text(max_size=64), head=st.text(), asked=st.frozensets(st.text(), max_size=3))
def test_what_is_asked_arrives(tensors: dict[str, Tensor], caller: str, head: str, asked: frozenset[str]) -> None:
    """Rows of any kind, on whose behalf and until when."""
    call = Call(time.monotonic(), caller, 3, None, asked, head)
    found = read_ask(b"".join(write_ask(7, 5, tensors, call)))
    assert (found.version, found.rows, found.call) == (7, 5, call)
    check_same(found.tensors.tensors(), tensors)


@settings(max_examples=50, deadline=None)
@given(tensors=TENSORS, errors=st.dictionaries(st.integers(0, 1023), st.text()), flags=st.tuples(*[st.booleans()] * 2))
def test_what_is_answered_arrives(tensors: dict[str, Tensor], errors: dict[int, str], flags: tuple[bool, bool]) -> None:
    """Outputs, errors of rows, durations."""
    answer = Answer(tensors, errors, 0.25, 0.5, 1.5, *flags)
    found = read_answer(b"".join(write_answer(answer)))
    check_same(found.tensors, tensors)
    found.tensors = answer.tensors
    assert found == answer


@pytest.mark.parametrize("refused", [full("QUEUE_FULL", "16,384 rows", "ward", 0.5), invalid("X", "inputs[a]", "no")])
def test_what_is_refused_arrives(refused: object) -> None:
    """Callers are told the same, to the byte."""
    found = read_refusal(write_refusal(refused))  # type: ignore[arg-type]
    assert (found.code, str(found), found.metadata()) == (refused.code, str(refused), refused.metadata())  # type: ignore[attr-defined]
    assert isinstance(found.code, grpc.StatusCode)


FRAMES = st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=50)), max_size=9)


@settings(max_examples=50, deadline=None)
@given(frames=FRAMES, cuts=st.lists(st.integers(1, 40)))
def test_frames_may_come_in_any_pieces(frames: list[tuple[Kind, int, bytes]], cuts: list[int]) -> None:
    """As a stream of bytes does."""

    async def pass_through() -> list[tuple[int, int, bytes]]:
        heard: list[tuple[int, int, bytes]] = []
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sender = await connect(ours, lambda *_: None)
            for kind, number, body in frames:
                sender.send(kind, number, body[:7], body[7:])
            sender.close()
            await sender.closed
            written = theirs.recv(1 << 16)
        receiver = Pipe(lambda *frame: heard.append(frame))
        for cut in cuts:
            receiver.data_received(written[:cut])
            written = written[cut:]
        receiver.data_received(written)
        return heard

    assert asyncio.run(pass_through()) == frames


async def test_a_frame_has_a_limit_on_both_sides() -> None:
    """Whoever claims more is not listened to."""
    pipe = Pipe(lambda *_: None)
    with pytest.raises(ValueError, match="the limit is"):
        pipe.data_received((MAX_FRAME + 1).to_bytes(4, "little") + bytes(5))
    with pytest.raises(ValueError, match="of a frame"):
        pipe.send(Kind.ASK, 1, bytes(MAX_FRAME + 1))


def test_a_port_is_shared_among_fronts_alone() -> None:
    """Any free one may be asked for; one where somebody listens, also one who shares it, is refused."""
    with reserved("127.0.0.1:0") as address:
        host, _, port = address.rpartition(":")
        assert int(port) > 0
        with socket.socket() as front:
            front.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            front.bind((host, int(port)))
            front.listen()
            with pytest.raises(SystemExit, match="TIDEMILL_LISTEN"), reserved(address):
                pass
    with reserved(address) as again:
        assert again == address
    with pytest.raises(SystemExit, match="TIDEMILL_LISTEN"), reserved("unix:/tmp/socket"):
        pass


@pytest.mark.parametrize(("cores", "fronts"), [(2, 0), (7, 0), (8, 2), (12, 3), (64, 4)])
def test_few_cores_have_no_fronts(monkeypatch: pytest.MonkeyPatch, cores: int, fronts: int) -> None:
    """Unless they are asked for."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert count_fronts(None) == fronts
    assert (count_fronts(0), count_fronts(3)) == (0, 3)
