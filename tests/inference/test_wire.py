"""Large requests are looked at before they are parsed: numbers are cut out and read as protobuf reads them, too many fields refused."""

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import inference_pb2 as oip
from services.inference import wire
from services.inference.refusal import Refusal
from services.inference.wire import count, decode, split
from shared.settings import Settings
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_picture import ask as ask_images
from tests.inference.test_picture import publish_images
from tests.inference.test_server import ask, refused, tensors

RANGES = {
    "bool_contents": (0, 1),
    "int_contents": (-(2**31), 2**31 - 1),
    "int64_contents": (-(2**63), 2**63 - 1),
    "uint_contents": (0, 2**32 - 1),
    "uint64_contents": (0, 2**64 - 1),
}
SIGNED = {"int_contents", "int64_contents"}
EMPTY_INPUT = b"\x2a\0"


def unpacked(numbers: list[int]) -> bytes:
    """uint_contents, each element with a tag of its own."""
    return b"".join(b"\x20" + wire._varint(number) for number in numbers)


@given(st.sampled_from(sorted(RANGES)), st.data())
def test_numbers_are_read_as_protobuf_reads_them(name: str, data: st.DataObject) -> None:
    """Of every field and size, whatever else is in the message; what is left is the message without them."""
    numbers = data.draw(st.lists(st.integers(*RANGES[name]), min_size=1, max_size=40))
    request = oip.ModelInferRequest(model_name="m", id="京", raw_input_contents=[b"abc"])
    request.parameters["priority"].uint64_param = 3
    request.inputs.add(name="first", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"", b"xy"])
    second = request.inputs.add(name="second", datatype="INT64", shape=[len(numbers), -1])
    second.contents.fp32_contents.append(0.5)
    getattr(second.contents, name).extend(numbers)
    kept, cut = split(request.SerializeToString())
    getattr(second.contents, name).clear()
    assert oip.ModelInferRequest.FromString(kept) == request
    assert list(cut) == [1]
    (pieces,) = cut[1].values()
    assert count(pieces) == len(numbers)
    found = np.concatenate(list(decode(pieces)))
    assert (found.astype(np.int64) if name in SIGNED else found).tolist() == numbers


def test_numbers_may_lie_anyhow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed, in pieces or one by one, and across the steps in which they are decoded."""
    monkeypatch.setattr(wire, "STEP", 3)
    packed = oip.InferTensorContents(uint_contents=[1, 300, 70_000]).SerializeToString()
    contents = packed + unpacked([2**32 - 1, 0]) + packed
    request = wire._varint(5 << 3 | 2) + wire._varint(len(contents) + 2) + b"\x2a" + bytes([len(contents)]) + contents
    _, cut = split(request)
    assert count(cut[0]["uint_contents"]) == 8
    with pytest.raises(ValueError, match="cut short"):  # one of five bytes is more than a step
        list(decode(cut[0]["uint_contents"]))
    monkeypatch.setattr(wire, "STEP", 7)
    found = np.concatenate(list(decode(cut[0]["uint_contents"])))
    assert found.tolist() == [1, 300, 70_000, 2**32 - 1, 0, 1, 300, 70_000]


@given(st.binary(max_size=60))
def test_whatever_comes_is_read_or_refused(raw: bytes) -> None:
    """No other error, and nothing that goes on without end."""
    try:
        kept, _ = split(raw)
    except (ValueError, Refusal):
        return
    assert len(kept) <= len(raw) + 10


@pytest.mark.parametrize(
    "raw",
    [
        EMPTY_INPUT * (wire.MAX_FIELDS + 1),
        b"\x0a" + wire._varint(2 * wire.LARGE) + bytes(2 * wire.LARGE),
        b"\x2a" + wire._varint(2 * wire.LARGE) + b"\x1a" + wire._varint(2 * wire.LARGE - 4) + bytes(2 * wire.LARGE - 4),
    ],
    ids=["empty inputs", "a name", "a shape"],
)
def test_what_would_take_much_memory_is_refused(raw: bytes) -> None:
    """Before anything is made of it: protobuf would make a hundred times as much of empty inputs."""
    with pytest.raises(Refusal) as caught:
        split(raw)
    assert caught.value.reason == "MESSAGE_TOO_COMPLEX"
    assert caught.value.fields.keys() == {"message"}


def typed(image: np.ndarray) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="imaging")
    tensor = request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
    tensor.contents.uint_contents.extend(image.ravel().tolist())
    return request


async def test_a_large_typed_image_is_answered_as_a_raw_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its numbers are not protobuf's to read; one that does not fit, or a count that is wrong, is refused by the input's name."""
    scratch, ledger = tmp_path_factory.mktemp("images"), Turning()
    ledger.point("imaging", "v1", publish_images(scratch))
    image = np.random.default_rng(0).integers(0, 256, (1, 1100, 1000), np.uint8)
    async with serving(Settings(models=scratch / "models"), ledger) as server:
        await until(lambda: server.registry.ready)
        found = tensors(await server.stub.ModelInfer(typed(image)))
        for name, expected in tensors(await server.stub.ModelInfer(ask_images(image))).items():
            np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(expected))
        beyond = typed(image)
        beyond.inputs[0].contents.uint_contents[-1] = 256
        fewer = typed(image)
        del fewer.inputs[0].contents.uint_contents[-1]
        for request, reason in ((beyond, "VALUE_OUT_OF_RANGE"), (fewer, "CONTENTS_MISMATCH")):
            error = await refused(server.stub.ModelInfer(request))
            assert error.details().startswith(f"{reason}: inputs[image]: ")


async def test_millions_of_inputs_cost_nothing_and_do_not_end_a_stream(running: Running) -> None:
    """INVALID_ARGUMENT for a call, an error of its own within a stream, whose other requests are answered."""
    bomb = EMPTY_INPUT * wire.LARGE
    fine = ask("intent", "where is my card")
    async with grpc.aio.insecure_channel(running.address) as channel:
        error = await refused(channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(bomb))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.details().startswith("MESSAGE_TOO_COMPLEX: message: ")
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=oip.ModelStreamInferResponse.FromString,
        )
        answers = [each async for each in stream(iter([bomb, fine.SerializeToString()]))]
    assert answers[0].error_message.startswith("MESSAGE_TOO_COMPLEX: ")
    assert answers[1].infer_response.model_name == "intent"
