"""Requests of images, well formed and not, raw and number by number."""

import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from protos import inference_pb2 as oip
from services.inference import servicer
from shared.settings import Settings
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_picture import ask, publish_images
from tests.inference.test_server import detail, refused, tensors


@pytest.fixture
async def seeing(tmp_path: Path) -> AsyncIterator[Running]:
    """An image classifier."""
    ledger = Turning()
    ledger.point("imaging", "v1", publish_images(tmp_path))
    async with serving(Settings(models=tmp_path / "models"), ledger) as server:
        await until(lambda: server.registry.ready)
        yield server


def typed(images: np.ndarray) -> oip.ModelInferRequest:
    request = ask(images)
    request.ClearField("raw_input_contents")
    request.inputs[0].contents.uint_contents.extend(images.ravel().tolist())
    return request


def change(**fields: Any) -> Callable[[oip.ModelInferRequest], None]:
    """Sets these of the input."""

    def apply(request: oip.ModelInferRequest) -> None:
        for name, value in fields.items():
            if name == "shape":
                request.inputs[0].shape[:] = value
            else:
                setattr(request.inputs[0], name, value)

    return apply


def put_floats(*values: float) -> Callable[[oip.ModelInferRequest], None]:
    """A float image of 2 x 2 that holds these besides ones."""

    def apply(request: oip.ModelInferRequest) -> None:
        change(datatype="FP32", shape=[1, 2, 2])(request)
        pixels = np.ones(4, "<f4")
        pixels[: len(values)] = values
        request.raw_input_contents[0] = pixels.tobytes()

    return apply


def put_large(request: oip.ModelInferRequest) -> None:
    request.ClearField("raw_input_contents")
    request.inputs[0].contents.uint_contents.extend([256] * 4)


def ask_for(name: str) -> Callable[[oip.ModelInferRequest], None]:
    return lambda request: request.outputs.append(oip.ModelInferRequest.InferRequestedOutputTensor(name=name))


BAD: dict[str, tuple[Callable[[oip.ModelInferRequest], None], str, str]] = {
    "NaN": (put_floats(np.nan), "DATATYPE_WRONG", "inputs[image]"),
    "infinity": (put_floats(np.inf, -np.inf), "DATATYPE_WRONG", "inputs[image]"),
    "no rows": (change(shape=[0, 2, 2]), "ROWS_OUT_OF_RANGE", "inputs[image]"),
    "fewer rows than none": (change(shape=[-1, 2, 2]), "ROWS_OUT_OF_RANGE", "inputs[image]"),
    "no batch": (change(shape=[2, 2]), "SHAPE_WRONG", "inputs[image]"),
    "colours": (change(shape=[1, 2, 2, 3]), "SHAPE_WRONG", "inputs[image]"),
    "no height": (change(shape=[1, 0, 2]), "SHAPE_WRONG", "inputs[image]"),
    "too wide": (change(shape=[1, 2, 3]), "CONTENTS_MISMATCH", "inputs[image]"),
    "a value over 255": (put_large, "VALUE_OUT_OF_RANGE", "inputs[image]"),
    "an unknown output": (ask_for("lungs"), "OUTPUT_UNKNOWN", "outputs[lungs]"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_with_an_image_is_named(seeing: Running, name: str) -> None:
    """INVALID_ARGUMENT, a stable reason and the field, over a real channel."""
    spoil, reason, field = BAD[name]
    request = ask(np.zeros((1, 2, 2), np.uint8))
    spoil(request)
    error = await refused(seeing.stub.ModelInfer(request))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert detail(error, error_details_pb2.ErrorInfo).reason == reason  # type: ignore[attr-defined]
    violations = detail(error, error_details_pb2.BadRequest).field_violations  # type: ignore[attr-defined]
    assert [each.field for each in violations] == [field]


async def test_images_number_by_number_are_the_same_images(seeing: Running) -> None:
    """Small ones, and such as are read in many steps."""
    for shape in ((2, 8, 8), (3, 300, 200)):
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        raw = tensors(await seeing.stub.ModelInfer(ask(images)))
        numbers = tensors(await seeing.stub.ModelInfer(typed(images)))
        for name, tensor in raw.items():
            np.testing.assert_array_equal(np.asarray(tensor), np.asarray(numbers[name]))


async def test_large_typed_images_are_not_read_on_the_event_loop(
    seeing: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is any request measured by writing it anew: what is inside is counted as it came, in streams too."""
    seen: list[tuple[bool, int]] = []
    read = servicer.read

    def watch(request: oip.ModelInferRequest, cut: Any) -> Any:
        seen.append((threading.current_thread() is threading.main_thread(), seeing.engine.admission.bytes))
        return read(request, cut)

    monkeypatch.setattr(servicer, "read", watch)
    small, large = (typed(np.zeros((1, side, side), np.uint8)) for side in (16, 300))
    raw = ask(np.zeros((1, 300, 300), np.uint8))
    for request in (small, large, raw):
        await seeing.stub.ModelInfer(request)
        async for answer in seeing.stub.ModelStreamInfer(iter([request])):
            assert not answer.error_message
    sizes = [request.ByteSize() for request in (small, large, raw)]
    assert seen[::2] == [(True, sizes[0]), (False, sizes[1]), (True, sizes[2])]
    assert seen[1::2] == seen[::2]
