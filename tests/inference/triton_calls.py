"""An unmodified tritonclient against the server at argv[1]. It registers a proto package `inference` of its own, which cannot live
in one process with ours: so this runs as a program, and imports nothing of Tidemill's."""

import asyncio
import queue
import sys

import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

TEXTS = np.array(["where is my card", "refund please", "my parcel is late"], dtype=np.object_)


def inputs(texts: np.ndarray = TEXTS) -> list[triton.InferInput]:
    tensor = triton.InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(texts)
    return [tensor]


def call(address: str) -> np.ndarray:
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("intent", "v1")
        assert not client.is_model_ready("nothing")
        assert client.get_server_metadata().name == "tidemill"
        assert client.get_model_metadata("intent").platform == "tidemill_text_classifier"
        assert len(client.get_model_repository_index().models) == 3
        wanted = [
            triton.InferRequestedOutput("sentiment.probabilities"),
            triton.InferRequestedOutput("intent.probabilities"),
        ]
        result = client.infer("intent", inputs(), request_id="42", outputs=wanted, priority=1, timeout=30_000_000)
        assert result.get_response().id == "42"
        assert [output.name for output in result.get_response().outputs] == [output.name() for output in wanted]
        found = result.as_numpy("intent.probabilities")
        assert found.shape == (3, 3)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
        pixels = np.zeros((2, 8, 8), np.uint8)
        image = triton.InferInput("image", [2, 8, 8], "UINT8")
        image.set_data_from_numpy(pixels)
        np.testing.assert_allclose(
            client.infer("imaging", [image]).as_numpy("finding.probabilities"), [[0.75, 0.25]] * 2
        )
        errors = client.infer("intent", inputs(), outputs=[triton.InferRequestedOutput("row_error")]).as_numpy(
            "row_error"
        )
        assert errors.tolist() == [b"", b"", b""]
        with pytest.raises(InferenceServerException) as caught:
            client.infer("nothing", inputs())
        assert caught.value.status() == "StatusCode.NOT_FOUND"
        statistics = client.get_inference_statistics("intent").model_stats[0].inference_stats
        assert statistics.success.count == 2
        return found


def stream(address: str, expected: np.ndarray) -> None:
    answers: queue.Queue[tuple[triton.InferResult | None, Exception | None]] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(20):
            client.async_stream_infer("intent" if number != 7 else "nothing", inputs(), request_id=str(number))
        for number in range(20):
            result, error = answers.get(timeout=60)
            if number == 7:
                assert "MODEL_NOT_FOUND" in str(error)
                continue
            assert error is None, error
            assert result.get_response().id == str(number)
            np.testing.assert_allclose(result.as_numpy("intent.probabilities"), expected, atol=1e-5)
        client.stop_stream()


async def call_concurrently(address: str, expected: np.ndarray) -> None:
    async with triton_aio.InferenceServerClient(address) as client:
        results = await asyncio.gather(*(client.infer("intent", inputs()) for _ in range(20)))
        for result in results:
            np.testing.assert_allclose(result.as_numpy("intent.probabilities"), expected, atol=1e-5)


if __name__ == "__main__":
    found = call(sys.argv[1])
    stream(sys.argv[1], found)
    asyncio.run(call_concurrently(sys.argv[1], found))
    sys.stdout.write("ok\n")
