"""Heat maps of pictures: exact sums over the cells of an image network's last maps, for those who ask."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from safetensors.torch import save_file

from protos import inference_pb2 as oip
from services.inference.heat import HeatDevice
from services.inference.launcher import Host
from services.inference.picture import ImageDevice, Pixels
from services.inference.units import Batch, Unit
from shared.bundle import Bundle, Head, ImageInput, Network, publish
from shared.nn.heatmap import spread
from shared.nn.image import Classifier, build
from shared.settings import Settings
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_explained import wanting
from tests.inference.test_picture import SPEC, ask
from tests.inference.test_server import detail, refused, tensors

MULTI = SPEC.model_copy(
    update={
        "heads": {**SPEC.heads, "signs": Head(labels=("fluid", "mass", "gas"), kind="sigmoid")},
        "temperature": {"signs": 2.0},
    }
)
FOREIGN = SPEC.model_copy(
    update={"network": Network(architecture="transformers-resnet", widths=(4, 8), blocks=(1, 1)), "temperature": {}}
)
IMAGES = np.random.default_rng(0).integers(0, 200, (3, 40, 28), np.uint8)


def live(place: Path, spec: Bundle) -> Turning:
    """A ledger whose one live model has random weights, drawn from seed 0."""
    torch.manual_seed(0)
    folder = place / "bundle"
    folder.mkdir()
    save_file(build(spec).state_dict(), folder / "model.safetensors")
    ledger = Turning()
    ledger.point("imaging", "v1", publish(folder, spec, place / "models", "v1")[1])
    return ledger


async def answer(server: Running, request: oip.ModelInferRequest) -> dict[str, Any]:
    await until(lambda: server.registry.ready)
    found: dict[str, Any] = tensors(await server.stub.ModelInfer(request))
    return found


def lead_of(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """What docs/inference.md says of `lead`, from the probabilities alone: of each row [n, labels], the winner's."""
    p = probabilities.astype(np.float64)
    winner = p.argmax(1)
    if kind == "sigmoid":
        return np.asarray(np.log(p.max(1) / (1 - p.max(1))))
    rivals = np.where(np.arange(p.shape[1]) == winner[:, None], 0, p)
    return np.asarray(np.log(p.max(1)) - (rivals * np.log(p)).sum(1) / rivals.sum(1))


def rest_of(network: Classifier, spec: Bundle, head: str, probabilities: np.ndarray) -> np.ndarray:
    """The bias' part of each row's lead."""
    bias: np.ndarray = network.heads[head].bias.detach().numpy()  # type: ignore[union-attr,operator]
    winner = probabilities.argmax(1)
    rivals = np.where(np.arange(len(bias)) == winner[:, None], 0, probabilities)
    less = (rivals @ bias) / rivals.sum(1) if spec.heads[head].kind == "softmax" else 0.0
    return np.asarray((bias[winner] - less) / spec.temperature.get(head, 1.0))


@pytest.mark.parametrize(
    ("spec", "head"),
    [(SPEC, ""), (SPEC, "quality"), (MULTI, "signs"), (FOREIGN, "finding")],
    ids=["first head", "other head", "multi-label", "transformers"],
)
async def test_cells_add_up_to_the_lead(tmp_path: Path, spec: Bundle, head: str) -> None:
    """With the bias, of the winning label over its rivals, of either head; what is answered besides is what plain rows get."""
    ledger, name = live(tmp_path, spec), head or "finding"
    async with serving(Settings(models=tmp_path / "models"), ledger) as server:
        plain = await answer(server, ask(IMAGES))
        request = wanting(ask(IMAGES), "heat_map", *(f"{each}.probabilities" for each in spec.heads), head=head)
        found = await answer(server, request)
    assert list(plain) == [f"{each}.probabilities" for each in spec.heads]
    for each, values in plain.items():
        np.testing.assert_allclose(found[each], values, atol=1e-5)
    torch.manual_seed(0)
    probabilities = found[f"{name}.probabilities"]
    rest = rest_of(build(spec), spec, name, probabilities)
    lead = lead_of(probabilities, spec.heads[name].kind)
    assert found["heat_map"].dtype == np.float32
    assert found["heat_map"].shape[0] == 3
    assert min(found["heat_map"].shape[1:]) > 1
    np.testing.assert_allclose(found["heat_map"].sum((1, 2)) + rest, lead, atol=1e-4)


@pytest.mark.parametrize("architecture", ["small-resnet", "transformers-resnet"])
def test_a_cell_has_what_is_in_it(architecture: Any) -> None:
    """Of maps that are zero but for one cell, that cell has the whole sum; of means as of maxima."""
    shape = Network(architecture=architecture, widths=(4,), blocks=(1,))
    torch.manual_seed(0)
    network = build(SPEC.model_copy(update={"network": shape})).eval()
    maps = torch.zeros(2, 4, 6, 5)
    maps[0, :, 3, 4] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    maps[1, :, 5, 0] = torch.tensor([4.0, 3.0, 2.0, 1.0])
    with torch.inference_mode():
        pooled = network.pool(maps)
        direction = torch.randn(pooled.shape)
        cells = spread(maps, direction)
    assert cells.shape == (2, 6, 5)
    for row, (down, across) in enumerate([(3, 4), (5, 0)]):
        assert cells[row, down, across].item() == pytest.approx((pooled[row] @ direction[row]).item(), abs=1e-5)
        assert (cells[row] != 0).sum() == 1


async def test_plain_pictures_never_share_a_pass_with_explained_ones(tmp_path: Path) -> None:
    """Explained ones cost more, and are counted so, in the precision of the plain ones."""
    batches: list[Batch] = []
    async with serving(Settings(models=tmp_path / "models"), live(tmp_path, SPEC)) as server:
        await until(lambda: server.registry.ready)
        server.engine.on_batch = lambda batch, seconds: batches.append(batch)
        await answer(server, ask(IMAGES))
        await answer(server, wanting(ask(IMAGES), "heat_map"))
    plain, explained = (next(b for b in batches if isinstance(b.lane, kind)) for kind in (ImageDevice, HeatDevice))
    assert plain.cost < explained.cost
    assert isinstance(explained.lane, HeatDevice)
    assert explained.lane.precision == "fp32"


def test_one_pass_explains_several_heads() -> None:
    """For each row the head that its own request named."""
    torch.manual_seed(0)
    assert SPEC.image is not None
    kinds = {head: each.kind for head, each in SPEC.heads.items()}
    device = HeatDevice(
        ImageDevice(build(SPEC).eval(), SPEC.image, SPEC.temperature, kinds, torch.device("cpu"), Host())
    )
    units = [Unit(device, 1, 0.0, payload=(IMAGES[0], head)) for head in ("finding", "quality", "finding")]
    together = device.run(units)
    alone = [device.run([unit])[0] for unit in units]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)


async def test_metadata_name_the_grid_and_only_where_it_says_something(tmp_path: Path) -> None:
    """A network whose last maps have one cell could only say where the whole picture is."""
    one = SPEC.model_copy(
        update={
            "image": ImageInput(size=16),
            "network": Network(widths=(4, 4, 4, 16), blocks=(1, 1, 1, 1)),
            "temperature": {},
        }
    )
    outputs = []
    for name, spec in (("a", SPEC), ("b", one)):
        (tmp_path / name).mkdir()
        async with serving(Settings(models=tmp_path / name / "models"), live(tmp_path / name, spec)) as server:
            await until(lambda: server.registry.ready)
            found = await server.stub.ModelMetadata(oip.ModelMetadataRequest(name="imaging"))
            outputs.append({each.name: (each.datatype, list(each.shape)) for each in found.outputs})
            if name == "b":
                error = await refused(server.stub.ModelInfer(wanting(ask(IMAGES), "heat_map")))
                assert "outputs[heat_map]" in str(error.details())
    assert outputs[0]["heat_map"] == ("FP32", [-1, 8, 8])
    assert "heat_map" not in outputs[1]


@pytest.mark.parametrize(
    ("rows", "head", "reason", "field"),
    [(33, "", "ROWS_OUT_OF_RANGE", "outputs[heat_map]"), (1, "mood", "HEAD_UNKNOWN", "parameters[head]")],
)
async def test_what_cannot_be_given_is_refused_by_name(
    tmp_path: Path, rows: int, head: str, reason: str, field: str
) -> None:
    """More cells than a client would take, or a head that is not there."""
    fine = SPEC.model_copy(
        update={"image": ImageInput(size=512), "network": Network(widths=(2,), blocks=(1,)), "temperature": {}}
    )
    images = np.zeros((rows, 4, 4), np.uint8)
    async with serving(Settings(models=tmp_path / "models"), live(tmp_path, fine)) as server:
        await until(lambda: server.registry.ready)
        error = await refused(server.stub.ModelInfer(wanting(ask(images), "heat_map", head=head)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert detail(error, error_details_pb2.ErrorInfo).reason == reason  # type: ignore[attr-defined]
    assert detail(error, error_details_pb2.BadRequest).field_violations[0].field == field  # type: ignore[attr-defined]


async def test_a_bad_picture_has_an_empty_map_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is in error, and its map all zeros; who asks for no `row_error` is told which row it is."""
    read = ImageDevice.read

    def fail(self: ImageDevice, pixels: Pixels) -> torch.Tensor:
        inputs = read(self, pixels)
        inputs[inputs.amin((1, 2, 3)) * self.spec.std + self.spec.mean > 0.99] = torch.nan
        return inputs

    monkeypatch.setattr(ImageDevice, "read", fail)
    images = IMAGES.copy()
    images[1] = 255
    async with serving(Settings(models=tmp_path / "models"), live(tmp_path, SPEC)) as server:
        found = await answer(server, wanting(ask(images), "row_error", "heat_map", "finding.probabilities"))
        error = await refused(server.stub.ModelInfer(wanting(ask(images), "heat_map")))
    assert [each.partition(b":")[0] for each in found["row_error"]] == [b"", b"MODEL_FAILED", b""]
    assert [bool(each.any()) for each in found["heat_map"]] == [True, False, True]
    assert str(error.details()).startswith("MODEL_FAILED: row 1: ")


async def test_the_cache_never_answers_for_another_head(tmp_path: Path) -> None:
    """What is kept knows rows, and a map depends on more; plain rows are kept as ever."""
    async with serving(Settings(models=tmp_path / "models", cache_bytes=1 << 20), live(tmp_path, SPEC)) as server:
        await answer(server, wanting(ask(IMAGES), "finding.probabilities"))
        maps = [
            (await answer(server, wanting(ask(IMAGES), "finding.probabilities", "heat_map", head=head)))["heat_map"]
            for head in ("finding", "quality", "finding")
        ]
        await answer(server, wanting(ask(IMAGES), "finding.probabilities"))
        statistics = await server.stub.ModelStatistics(oip.ModelStatisticsRequest(name="imaging"))
    np.testing.assert_array_equal(maps[0], maps[2])
    assert not np.allclose(maps[0], maps[1])
    assert statistics.model_stats[0].inference_stats.cache_hit.count == 3
