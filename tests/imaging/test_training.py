"""Training of the imaging model, in small."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from protos import event_pb2, imaging_pb2
from services.training.imaging.fit import Recipe, augment
from services.training.imaging.judged import judged
from services.training.imaging.proposal import adopt, answers, propose
from services.training.imaging.samples import SIDE, UNKNOWN, join, medmnist, split, synthetic
from services.training.imaging.thresholds import choose
from shared.bundle import Bundle, Head, ImageInput, Network, load, publish
from shared.claim import Claims
from shared.event import Key
from shared.nn.image import build, prepare
from shared.picture.decoders import Decoders
from shared.store.labels import Label
from tests.imaging import samples as images

SMALL = Network(widths=(4, 8), blocks=(1, 1))


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from threads, which wait for each other by spinning."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_drawn_samples_repeat_and_split_by_person() -> None:
    """The same seed gives the same pictures; adding pictures moves nobody to another part."""
    few, many = synthetic(30, seed=1, side=32), synthetic(60, seed=1, side=32)
    assert np.array_equal(few.pixels, synthetic(30, seed=1, side=32).pixels)
    assert few.entities == many.entities[:30]
    before, after = split(few), split(many)
    assert sum(len(part) for part in after.values()) == 60
    for name, part in before.items():
        assert set(part.entities) <= set(after[name].entities)
    poor = few.truth["quality"] == 1
    assert (few.truth["finding"][poor] == UNKNOWN).all()
    assert (few.truth["finding"][~poor] != UNKNOWN).all()


def test_a_candidate_is_whole_and_answers_from_its_own_bytes(tmp_path: Path) -> None:
    """What the gate measures is what the bundle's files say, after it was sealed and published."""
    lines: list[str] = []
    folder = tmp_path / "new"
    folder.mkdir()
    recipe = Recipe(epochs=1, batch=16)
    network = SMALL
    drawn = synthetic(150, seed=2, side=32)
    candidate = propose(
        drawn, folder, seed=0, data={}, run={}, size=32, recipe=recipe, network=network, tell=lines.append
    )
    place, digest = publish(candidate.folder, candidate.spec, tmp_path / "store", "v1")
    spec = load(place, Bundle, digest)
    found = candidate.measure(place, spec)
    assert found.labels == {"finding": ("normal", "opacity", "effusion"), "quality": ("good", "poor")}
    assert found.probabilities["finding"].shape == (len(candidate.items), 3)
    assert np.allclose(found.probabilities["finding"].sum(1), 1)
    assert {"finding.report", "finding.report.normal", "quality.poor"} <= set(spec.thresholds)
    assert candidate.baseline.probabilities["finding"].shape == (len(candidate.items), 3)
    assert any(line.startswith("RESULT imaging.auc=") for line in lines)
    assert len({item.id for item in candidate.items}) == len(candidate.items)
    assert {item.entity for item in candidate.items} == set(split(drawn)["test"].entities)


def test_the_same_seed_gives_the_same_network(tmp_path: Path) -> None:
    """Whatever was drawn before: the first weights, the order and the augmentation follow from the seed."""
    drawn, weights = synthetic(80, seed=5, side=32), []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        torch.rand(len(name) + seed)
        propose(drawn, tmp_path / name, seed=seed, data={}, run={}, size=32, recipe=Recipe(epochs=1), network=SMALL)
        weights.append(load_file(tmp_path / name / "model.safetensors"))
    first, again, other = weights
    assert all(np.allclose(first[name], again[name], atol=1e-4) for name in first)
    assert not all(np.allclose(first[name], other[name], atol=1e-4) for name in first)


def test_training_starts_from_given_weights(tmp_path: Path) -> None:
    """Without any learning, the base's answers come out unchanged; a base of another shape is not used."""
    network, drawn = SMALL, synthetic(120, seed=3, side=32)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    options = {"data": {}, "run": {}, "size": 32, "network": network}
    old = propose(drawn, first, seed=0, recipe=Recipe(epochs=1), **options)
    still = Recipe(epochs=1, rate=1e-12, decay=0)
    new = propose(drawn, second, seed=1, recipe=still, base=first / "model.safetensors", **options)
    before, after = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)
    assert old.spec.thresholds == new.spec.thresholds
    assert (old.run["base"], new.run["base"]) == (False, True)
    assert not adopt(build(old.spec.model_copy(update={"network": Network()})), first / "model.safetensors")
    assert not adopt(build(old.spec), tmp_path / "absent.safetensors")


def test_a_prior_model_can_be_measured_too() -> None:
    """The live model may still be the label frequencies."""
    heads = {"finding": Head(labels=("normal", "opacity"))}
    spec = Bundle(kind="prior", model="imaging", heads=heads, prior={"finding": (0.7, 0.3)})
    found = answers(Path("unused"), spec, synthetic(5, seed=1, side=32))
    assert np.allclose(found.probabilities["finding"], [[0.7, 0.3]] * 5)


@pytest.mark.parametrize("architecture", ["small-resnet", "transformers-resnet"])
def test_the_network_takes_any_size_of_picture(architecture: str) -> None:
    """uint8 pictures of the service's size become logits of each head; the weights are safetensors' names."""
    network = Network.model_validate({"architecture": architecture, "widths": (8, 16), "blocks": (1, 1)})
    heads = {"finding": Head(labels=("a", "b", "c")), "quality": Head(labels=("good", "poor"))}
    spec = ImageInput(size=32)
    bundle = Bundle(kind="image-classifier", model="m", heads=heads, image=spec, network=network, weights="w")
    made = build(bundle).eval()
    inputs = prepare(torch.randint(0, 255, (3, 256, 256), dtype=torch.uint8), spec)
    assert inputs.shape == (3, 1, 32, 32)
    with torch.no_grad():
        logits = made(inputs)
        alone = made(inputs[:1])
    assert {head: tuple(value.shape) for head, value in logits.items()} == {"finding": (3, 3), "quality": (3, 2)}
    assert torch.allclose(logits["finding"][:1], alone["finding"], atol=1e-4)


def test_augmentation_keeps_the_shape() -> None:
    """Mirrored and moved pictures are still pictures of the same size."""
    torch.manual_seed(0)
    inputs = torch.rand(4, 1, 32, 32)
    changed = augment(inputs)
    assert changed.shape == inputs.shape
    assert not torch.equal(changed, inputs)


def test_thresholds_are_those_that_validation_can_prove() -> None:
    """Sure and right from 0.8 on gives 0.8; a finding that is never right is never reported; good pictures stay assessable."""
    confidence = np.concatenate([np.full(200, 0.8), np.full(100, 0.6)])
    findings = np.stack([confidence, 1 - confidence], 1)
    truth = np.concatenate([np.zeros(200, np.int64), np.arange(100) % 2])
    quality = np.tile([0.9, 0.1], (300, 1))
    labels = {"finding": ("normal", "opacity"), "quality": ("good", "poor")}
    chosen = choose(
        labels, {"finding": findings, "quality": quality}, {"finding": truth, "quality": np.zeros(300, int)}
    )
    assert chosen == {
        "finding.report": 0.8,
        "finding.report.normal": 0.8,
        "finding.report.opacity": 1.01,
        "quality.poor": 0.5,
    }


def test_medmnist_files_are_read(tmp_path: Path) -> None:
    """Training and validation pictures together; equal pictures are one entity."""
    pixels = np.random.default_rng(0).integers(0, 255, (6, 28, 28), dtype=np.uint8)
    pixels[5] = pixels[0]
    path = tmp_path / "small.npz"
    labels = np.array([[0], [1], [1], [0]], np.uint8)
    np.savez(path, train_images=pixels[:4], train_labels=labels, val_images=pixels[4:], val_labels=labels[:2])
    found = medmnist(path)
    assert found.labels == {"finding": ("normal", "pneumonia")}
    assert found.truth["finding"].tolist() == [0, 1, 1, 0, 0, 1]
    assert len(set(found.entities)) == 5
    np.savez(path, other=pixels)
    with pytest.raises(ValueError, match="PneumoniaMNIST"):
        medmnist(path)


def label(
    prediction: str, head: str, said: str, request: imaging_pb2.ImagingRequest, predicted: str = "normal"
) -> Label:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    key = Key("imaging", "test", prediction)
    body = request.SerializeToString()
    return Label(
        prediction, head, "", said, predicted, key, body, moment, "v1", 1, 1, (f"{prediction}-{head}",), moment
    )


async def test_many_claimed_pictures_are_read(tmp_path: Path) -> None:
    """More than a blob store is asked for at once."""
    (tmp_path / "chest.dcm").write_bytes(images.dicom())
    claim = event_pb2.Claim(store="x", key="chest.dcm", sha256=hashlib.sha256(images.dicom()).hexdigest())
    said = [
        label(f"p{number:02}", "finding", "opacity", imaging_pb2.ImagingRequest(claim=claim)) for number in range(30)
    ]
    with Decoders(1) as decoders:
        found = await judged(said, synthetic(1, seed=1).labels, Claims({"x": tmp_path}), decoders)
    assert found.used == tuple(f"p{number:02}" for number in range(30))


async def test_judgements_become_samples(tmp_path: Path) -> None:
    """Claimed pictures with all that people said of them; what was not kept, is gone or is not known is left out."""
    (tmp_path / "chest.dcm").write_bytes(images.dicom())
    sha256 = hashlib.sha256(images.dicom()).hexdigest()
    claimed = imaging_pb2.ImagingRequest(claim=event_pb2.Claim(store="x", key="chest.dcm", sha256=sha256), study="s-1")
    gone = imaging_pb2.ImagingRequest(claim=event_pb2.Claim(store="x", key="gone.dcm", sha256=sha256))
    said = [
        label("p1", "finding", "opacity", claimed),
        label("p1", "quality", "good", claimed),
        label("p2", "finding", "effusion", imaging_pb2.ImagingRequest(study="s-2")),
        label("p3", "finding", "effusion", gone),
        label("p4", "finding", "pneumothorax", claimed),
        label("p5", "finding", "normal", claimed),
    ]
    known = synthetic(1, seed=1).labels
    with Decoders(1) as decoders:
        found = await judged(said, known, Claims({"x": tmp_path}), decoders)
    assert (found.used, found.left_out) == (("p1", "p5"), ("p2", "p3", "p4"))
    assert found.judgements == ("p1-finding", "p1-quality", "p5-finding")
    assert found.samples.pixels.shape == (2, SIDE, SIDE)
    assert found.samples.truth["finding"].tolist() == [1, 0]
    assert found.samples.truth["quality"].tolist() == [0, UNKNOWN]
    assert found.samples.entities == ("s-1", "s-1")
    assert found.samples.weights[0] > 1 > found.samples.weights[1]
    joined = join(synthetic(3, seed=1, side=40), found.samples)
    assert joined.pixels.shape == (5, 40, 40)
    assert len(joined) == 5
    assert joined.origins[-1] == "judged"
