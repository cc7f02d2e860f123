"""The imaging handler, with real decoders and claims, and an inference that answers what the test says."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from protos import event_pb2, imaging_pb2
from services.imaging.handler import NOTICE, handle, keep, predictions, uncertainty
from services.imaging.images import Images
from services.imaging.wiring import DOMAIN
from shared.domain import Tools
from shared.errors import Reject
from shared.event import Key
from shared.inference.contract import Card, Inference, Value
from shared.settings import Settings
from tests.imaging import samples

LABELS = {"finding": ("normal", "opacity", "effusion"), "quality": ("good", "poor")}
THRESHOLDS = {"finding.report": 0.85, "finding.report.normal": 0.95, "quality.poor": 0.5}


class FixedInference:
    """Answers every picture with the same distributions and remembers what it was asked."""

    def __init__(self, *finding: float, poor: float = 0.1, thresholds: Mapping[str, float] = THRESHOLDS) -> None:
        self.finding, self.poor = finding or (0.06, 0.9, 0.04), poor
        self.card = Card("imaging", "v1", LABELS, thresholds)
        self.asked: list[tuple[Any, int]] = []

    async def __call__(
        self, model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = ""
    ) -> Inference:
        assert model == "imaging"
        assert row.keys() == {"image"}
        self.asked.append((row["image"], priority))
        distributions = {"finding": self.finding, "quality": (1 - self.poor, self.poor)}
        return Inference(self.card, {head: np.array(p, np.float32) for head, p in distributions.items()})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """One decoder for all tests, and a store with one DICOM file."""
    store = tmp_path_factory.mktemp("x-rays")
    (store / "chest.dcm").write_bytes(samples.dicom())
    opened = Images.open(Settings(blobs={"x-rays": store}, decoders=1))
    yield opened
    asyncio.run(opened.close())


async def read(
    images: Images, data: bytes = b"", infer: FixedInference | None = None, **fields: Any
) -> imaging_pb2.ImagingResult:
    tools = Tools(Key("imaging", "test", "1"), infer or FixedInference(), datetime.now(UTC), lookups=images)
    request = imaging_pb2.ImagingRequest(inline=data, **fields) if data else imaging_pb2.ImagingRequest(**fields)
    result = await handle(request, tools)
    assert result.notice == NOTICE
    return result


async def test_a_confident_answer_is_reported(images: Images) -> None:
    """The distribution, its uncertainty, the facts of the file and the reason are all there."""
    infer = FixedInference()
    result = await read(images, samples.dicom(), infer)
    assert result.decision == imaging_pb2.DECISION_REPORT
    assert (result.finding, result.decision_reason) == ("opacity", "CONFIDENT")
    assert [score.label for score in result.probabilities] == ["opacity", "normal", "effusion"]
    assert result.confidence == pytest.approx(0.9)
    assert result.uncertainty == pytest.approx(0.357, abs=0.001)
    assert result.answer.model == event_pb2.Model(name="imaging", version="v1")
    assert result.answer.why == "opacity 90.0%, then normal 6.0%: reaches the 85.0% from which it may be reported"
    height, width = samples.CHEST.shape
    expected = {"format": "DICOM", "width": width, "height": height, "frames": 1}
    assert result.image == imaging_pb2.ImageFacts(modality="DX", photometric="MONOCHROME2", **expected)
    pixels, _ = infer.asked[0]
    assert (pixels.shape, pixels.dtype) == ((256, 256), np.uint8)


@pytest.mark.parametrize(
    ("finding", "thresholds", "reason", "words"),
    [
        ((0.10, 0.84, 0.06), THRESHOLDS, "LOW_CONFIDENCE", "below the 85.0%"),
        ((0.94, 0.03, 0.03), THRESHOLDS, "LOW_CONFIDENCE", "below the 95.0%"),
        ((0.01, 0.98, 0.01), {}, "NO_THRESHOLD", "no threshold"),
    ],
)
async def test_what_is_not_sure_enough_is_referred(
    images: Images, finding: tuple[float, ...], thresholds: dict[str, float], reason: str, words: str
) -> None:
    """By the threshold of the finding where there is one; a model without any never reports."""
    result = await read(images, samples.dicom(), FixedInference(*finding, thresholds=thresholds))
    assert (result.decision, result.decision_reason) == (imaging_pb2.DECISION_REFER, reason)
    assert words in result.answer.why
    assert "a person must read it" in result.answer.why


async def test_poor_quality_is_not_assessable_and_can_be_judged(images: Images) -> None:
    """No finding is shown for what should not be judged, but people can say that the quality was fine."""
    result = await read(images, samples.dicom(), FixedInference(poor=0.7))
    assert (result.decision, result.decision_reason) == (imaging_pb2.DECISION_NOT_ASSESSABLE, "POOR_QUALITY")
    assert (result.finding, list(result.probabilities), result.confidence) == ("", [], 0)
    assert result.answer.model.version == "v1"
    (quality,) = predictions(result)
    assert (quality.head, quality.label) == ("quality", "poor")
    assert quality.probabilities == pytest.approx({"good": 0.3, "poor": 0.7})


UNFIT: dict[str, tuple[dict[str, Any], str, str]] = {
    "an MR": ({"Modality": "MR"}, "WRONG_MODALITY", "the modality is MR"),
    "no defined modality": ({"Modality": "DOE"}, "WRONG_MODALITY", "OTHER"),
    "a knee": ({"BodyPartExamined": "KNEE"}, "WRONG_BODY_PART", "KNEE"),
    "a lateral view": ({"ViewPosition": "LL"}, "WRONG_VIEW", "LL"),
}


@pytest.mark.parametrize("name", UNFIT)
async def test_what_the_header_rules_out_never_reaches_the_model(images: Images, name: str) -> None:
    """The answer is a result that says why, not a dead letter."""
    tags, reason, words = UNFIT[name]
    infer = FixedInference()
    result = await read(images, samples.dicom(**tags), infer)
    assert (result.decision, result.decision_reason) == (imaging_pb2.DECISION_NOT_ASSESSABLE, reason)
    assert result.answer.why.startswith("not assessable: ")
    assert words in result.answer.why
    assert infer.asked == []
    assert predictions(result) == []
    assert not result.answer.HasField("model")


def _photo() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, 255, (100, 100, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.full((300, 300), 90, np.uint8), "BLANK_IMAGE"),
        (np.full((300, 300), 90, np.uint8) + (np.arange(300) % 3).astype(np.uint8), "BLANK_IMAGE"),
        (samples.grey8()[:60, :60], "TOO_SMALL"),
        (samples.grey8()[:65], "WRONG_SHAPE"),
        (_photo(), "COLOUR_IMAGE"),
    ],
)
async def test_what_the_pixels_rule_out_never_reaches_the_model(images: Images, pixels: Any, reason: str) -> None:
    """Blank, tiny, oblong and coloured images are decodable, so they get a result."""
    result = await read(images, samples.png(pixels))
    assert (result.decision, result.decision_reason) == (imaging_pb2.DECISION_NOT_ASSESSABLE, reason)


async def test_the_frame_that_was_read_is_named(images: Images) -> None:
    """Nobody should think that all frames were looked at."""
    frames = np.stack([samples.grey8()] * 3)
    result = await read(images, samples.dicom_of(frames, "MONOCHROME2"))
    assert result.image.frames == 3
    assert result.answer.why.endswith("; only frame 2 of 3 was read")


async def test_a_claim_is_as_good_as_the_bytes(images: Images) -> None:
    """The same file by claim gives the same result."""
    claim = event_pb2.Claim(store="x-rays", key="chest.dcm", sha256=hashlib.sha256(samples.dicom()).hexdigest())
    assert await read(images, claim=claim) == await read(images, samples.dicom())


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({}, "IMAGE_MISSING", "image"),
        ({"inline": b""}, "IMAGE_EMPTY", "image"),
        ({"inline": b"\x89PNG but no"}, "IMAGE_FORMAT_UNKNOWN", "image"),
        ({"inline": bytes(8 * 1024 * 1024 + 1)}, "IMAGE_TOO_LARGE", "inline"),
        ({"inline": samples.png_header(60_000, 60_000)}, "IMAGE_TOO_LARGE", "image"),
        ({"claim": event_pb2.Claim(store="ct", key="a", sha256="0" * 64)}, "CLAIM_STORE_UNKNOWN", "claim.store"),
        ({"claim": event_pb2.Claim(store="x-rays", key="../a", sha256="0" * 64)}, "CLAIM_KEY_INVALID", "claim.key"),
        ({"claim": event_pb2.Claim(store="x-rays", key="a", sha256="0" * 64)}, "CLAIM_NOT_FOUND", "claim.key"),
        (
            {"claim": event_pb2.Claim(store="x-rays", key="chest.dcm", sha256="0" * 64)},
            "CLAIM_SHA256_MISMATCH",
            "claim.sha256",
        ),
        ({"inline": b"x", "study": "s" * 257}, "STUDY_TOO_LONG", "study"),
        ({"inline": b"x", "priority": 7}, "PRIORITY_UNKNOWN", "priority"),
    ],
)
async def test_bad_requests_are_rejected_naming_the_field(
    images: Images, fields: dict[str, Any], reason: str, field: str
) -> None:
    """Each has its own stable code."""
    with pytest.raises(Reject) as caught:
        await read(images, **fields)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize(("priority", "expected"), [("STAT", 1), ("UNSPECIFIED", 0), ("ROUTINE", 0), ("BATCH", 9)])
async def test_urgency_reaches_the_inference_queue(images: Images, priority: str, expected: int) -> None:
    """STAT goes first and a batch waits."""
    infer = FixedInference()
    await read(images, samples.dicom(), infer, priority=imaging_pb2.Priority.Value(f"PRIORITY_{priority}"))
    assert infer.asked[0][1] == expected


async def test_predictions_hold_whole_distributions(images: Images) -> None:
    """A judgement can be weighed against all that the model believed."""
    finding, quality = predictions(await read(images, samples.dicom()))
    assert (finding.head, finding.label) == ("finding", "opacity")
    assert finding.probabilities == pytest.approx({"normal": 0.06, "opacity": 0.9, "effusion": 0.04})
    assert (quality.label, quality.probabilities["good"]) == ("good", pytest.approx(0.9))


def test_an_inline_image_is_not_kept() -> None:
    """What is kept of a request is its claim, or nothing of the picture."""
    claim = event_pb2.Claim(store="x-rays", key="a", sha256="0" * 64)
    by_claim = imaging_pb2.ImagingRequest(claim=claim, study="s-1")
    inline = imaging_pb2.ImagingRequest(inline=b"a person's chest", study="s-1")
    assert imaging_pb2.ImagingRequest.FromString(keep(by_claim)) == by_claim
    assert imaging_pb2.ImagingRequest.FromString(keep(inline)) == imaging_pb2.ImagingRequest(study="s-1")
    assert inline.inline == b"a person's chest"


async def test_nothing_of_the_patient_is_in_the_result_or_the_log(
    images: Images, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Planted canaries stay where they were planted."""
    canary = "CANARY"
    tags = {"PatientName": canary, "PatientID": canary, "InstitutionName": canary, "ImageComments": canary}
    result = await read(images, samples.dicom(**tags, BodyPartExamined=canary, StudyDescription=canary))
    with pytest.raises(Reject) as caught:
        await read(images, samples.dicom(**tags)[:3000])
    seen = str(result) + str(caught.value) + caplog.text + "".join(capfd.readouterr())
    assert canary not in seen


def test_uncertainty_is_normalised() -> None:
    """0 for certainty, 1 for none, whatever the number of labels."""
    assert uncertainty([1, 0, 0]) == 0
    assert uncertainty([0.25] * 4) == pytest.approx(1)


def test_order_is_kept_within_a_study() -> None:
    """The wiring orders by study."""
    assert DOMAIN.order(imaging_pb2.ImagingRequest(study="s-9")) == "s-9"
