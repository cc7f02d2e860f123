"""Image classifiers through the same engine."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from protos import inference_pb2 as oip
from shared.bundle import Bundle, Head, ImageInput, Network, publish
from shared.nn.image import build, prepare
from shared.settings import Settings
from tests.inference.conftest import Turning, serving, until

SPEC = Bundle(
    kind="image-classifier",
    model="imaging",
    heads={"finding": Head(labels=("normal", "opacity")), "quality": Head(labels=("good", "poor"))},
    image=ImageInput(size=32),
    network=Network(widths=(4, 8), blocks=(1, 1)),
    weights="model.safetensors",
    temperature={"finding": 2.0},
)


def ask(images: np.ndarray) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="imaging")
    request.inputs.add(name="image", datatype="UINT8", shape=images.shape)
    request.raw_input_contents.append(images.tobytes())
    return request


def publish_images(scratch: Path) -> str:
    """A random network for SPEC in the store `scratch / "models"`; returns the digest that the ledger would name."""
    torch.manual_seed(0)
    folder = scratch / "bundle"
    folder.mkdir()
    save_file(build(SPEC).state_dict(), folder / "model.safetensors")
    return publish(folder, SPEC, scratch / "models", "v1")[1]


async def test_images_of_any_size_are_answered_as_the_network_says(tmp_path: Path) -> None:
    """Calibrated, by head; a side beyond the limit is refused."""
    torch.manual_seed(0)
    network = build(SPEC).eval()
    ledger = Turning()
    ledger.point("imaging", "v1", publish_images(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 28), np.uint8)
    async with serving(Settings(models=tmp_path / "models"), ledger) as server:
        await until(lambda: server.registry.ready)
        response = await server.stub.ModelInfer(ask(images))
        found = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(3, 2)
        with torch.inference_mode():
            logits = network(prepare(torch.from_numpy(images), SPEC.image))  # type: ignore[arg-type]
        np.testing.assert_allclose(found, (logits["finding"] / 2).softmax(1), atol=1e-5)
        assert [output.name for output in response.outputs] == ["finding.probabilities", "quality.probabilities"]
        wide = ask(np.zeros((1, 2, 5000), np.uint8))
        status = await server.stub.ModelInfer(wide).code()
        assert status.name == "INVALID_ARGUMENT"
