"""Every kind of bad input through the real doors: a clear reason, and the neighbours on both sides unharmed."""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from bench import evidence
from bench.local import Local
from protos import event_pb2, feedback_pb2, imaging_pb2, intent_pb2
from shared import radiograph
from shared.event import JSON, PROTOBUF, Key
from tests.whole.sending import Event, ask, new_source, outcomes, put, until

NEIGHBOUR = intent_pb2.IntentRequest(text="I would like my money back, please", language="en")
_OUTCOMES = "SELECT id FROM outcomes WHERE domain = 'intent' AND source = $1"
PICTURE = radiograph.draw("normal", 5, side=64)

TEXTS: dict[str, tuple[bytes | Message, str, str]] = {  # name: payload, content type, reason
    "undecodable bytes": (b"\xff\xff\xff\xff", PROTOBUF, "PAYLOAD_NOT_PROTOBUF"),
    "unknown JSON field": (b'{"text": "hello", "colour": "blue"}', JSON, "PAYLOAD_NOT_JSON"),
    "mistyped JSON field": (b'{"text": ["hello"]}', JSON, "PAYLOAD_NOT_JSON"),
    "no JSON at all": (b'{"text": ', JSON, "PAYLOAD_NOT_JSON"),
    "JSON that is not UTF-8": (b'{"text": "\xe9t\xe9"}', JSON, "PAYLOAD_NOT_UTF8"),
    "protobuf text that is not UTF-8": (b"\x0a\x03\xe9t\xe9", PROTOBUF, "PAYLOAD_NOT_PROTOBUF"),
    "empty text": (intent_pb2.IntentRequest(text=" \n"), PROTOBUF, "TEXT_EMPTY"),
    "no payload": (b"", PROTOBUF, "TEXT_EMPTY"),
    "1 MB of text": (intent_pb2.IntentRequest(text="x" * 1_000_000), PROTOBUF, "TEXT_TOO_LONG"),
    "unknown content type": (b"<text>hello</text>", "application/xml", "CONTENT_TYPE_UNKNOWN"),
}


async def test_bad_texts_among_good_ones(stack: Local) -> None:
    """On one partition good and bad events alternate: each bad one ends as its own dead letter, each good one as a result."""
    source = new_source()
    events = []
    for number, (payload, kind, _) in enumerate(TEXTS.values()):
        events.append(Event(Key("intent", source, f"good-{number}"), NEIGHBOUR))
        events.append(Event(Key("intent", source, f"bad-{number}"), payload, kind))
    await put(stack, events)
    rows = await outcomes(stack, [event.key for event in events])
    wrong = {name: rows[Key("intent", source, f"bad-{number}")] for number, name in enumerate(TEXTS)}
    assert {name: row["reason"] for name, row in wrong.items()} == {
        name: reason for name, (_, _, reason) in TEXTS.items()
    }
    good = [row for key, row in rows.items() if key.id.startswith("good")]
    assert {row["kind"] for row in good} == {"result"}
    for row in wrong.values():
        letter = event_pb2.DeadLetter.FromString(row["body"])
        assert letter.detail
        assert len(letter.detail) < 500


async def test_a_dead_letter_carries_the_original(stack: Local) -> None:
    """On the dead-letter topic lie the original bytes and headers, where they came from, and why."""
    source = new_source()
    event = Event(Key("intent", source, "broken"), b"\xff\xff", headers=[("shop-till", b"7")])
    await put(stack, [event], key=b"till-7")
    await outcomes(stack, [event.key])
    (letter,) = await until(
        lambda: evidence.published(stack.address("kafka"), ["intent"], source), "the dead letter is published"
    )
    assert (letter.kind, letter.reason, letter.value) == ("dead_letter", "PAYLOAD_NOT_PROTOBUF", b"\xff\xff")


def png_header(width: int, height: int) -> bytes:
    """A PNG of these dimensions with next to no data in it."""
    data = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = b"IDAT" + zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (data, rows, b"IEND")
    )


def dicom_without_pixels() -> bytes:
    from pydicom import dcmread

    from shared.radiograph.dicom import to_dicom

    data = dcmread(io.BytesIO(to_dicom(radiograph.compose("normal", 1, 64), 1, "DX")))
    del data.PixelData
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def claim(store: str = "default", key: str = "there.png", content: bytes = PICTURE) -> imaging_pb2.ImagingRequest:
    sum_ = hashlib.sha256(content).hexdigest()
    return imaging_pb2.ImagingRequest(claim=event_pb2.Claim(store=store, key=key, sha256=sum_))


def inline(data: bytes) -> imaging_pb2.ImagingRequest:
    return imaging_pb2.ImagingRequest(inline=data)


def images() -> dict[str, tuple[imaging_pb2.ImagingRequest, set[str]]]:
    noise = np.random.default_rng(1).integers(0, 4096, (256, 256)).astype(np.uint16)
    return {
        "no image": (imaging_pb2.ImagingRequest(), {"IMAGE_MISSING", "IMAGE_EMPTY"}),
        "not an image": (inline(b"just some text, not an image at all"), {"IMAGE_FORMAT_UNKNOWN"}),
        "truncated PNG": (inline(radiograph.to_png(noise)[:4000]), {"IMAGE_TRUNCATED"}),
        "60,000 x 60,000 px": (inline(png_header(60_000, 60_000)), {"IMAGE_TOO_LARGE"}),
        "DICOM without pixels": (inline(dicom_without_pixels()), {"DICOM_NO_PIXELS"}),
        "wrong sha256": (claim(content=b"something else"), {"CLAIM_SHA256_MISMATCH"}),
        "unknown store": (claim(store="elsewhere"), {"CLAIM_STORE_UNKNOWN"}),
        "../ in the key": (claim(key="../postgres/password"), {"CLAIM_KEY_INVALID"}),
        "no such key": (claim(key="absent.png"), {"CLAIM_NOT_FOUND"}),
    }


def store(stack: Local, name: str) -> None:
    """Puts the good picture where claims are read from."""
    blobs = Path(json.loads(stack.values()["TIDEMILL_BLOBS"])["default"])
    blobs.mkdir(exist_ok=True)
    (blobs / name).write_bytes(PICTURE)


async def test_bad_images_among_good_ones(stack: Local) -> None:
    """Good images, inline and by claim, end as results between bad ones, each of which ends with its own reason."""
    store(stack, "there.png")
    source, bad = new_source(), images()
    events = []
    for number, (request, _) in enumerate(bad.values()):
        events.append(Event(Key("imaging", source, f"good-{number}"), claim() if number % 2 else inline(PICTURE)))
        events.append(Event(Key("imaging", source, f"bad-{number}"), request))
    await put(stack, events)
    rows = await outcomes(stack, [event.key for event in events])
    reasons = {name: rows[Key("imaging", source, f"bad-{number}")]["reason"] for number, name in enumerate(bad)}
    assert {name: reason for name, reason in reasons.items() if reason not in bad[name][1]} == {}
    assert {row["kind"] for key, row in rows.items() if key.id.startswith("good")} == {"result"}


@pytest.mark.parametrize(
    ("request_", "field"),
    [(intent_pb2.IntentRequest(text=""), "text"), (intent_pb2.IntentRequest(text="x" * 1_000_000), "text")],
)
async def test_grpc_names_the_field(stack: Local, request_: intent_pb2.IntentRequest, field: str) -> None:
    """A bad request is INVALID_ARGUMENT with the field in its details, and the server answers the next call."""
    source = new_source()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stack, Key("intent", source, "bad"), request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    [detail] = [each for each in rpc_status.from_call(refused.value).details if each.Is(bad.DESCRIPTOR)]
    assert detail.Unpack(bad)
    assert [violation.field for violation in bad.field_violations] == [field]
    good = await ask(stack, Key("intent", source, "good"), NEIGHBOUR)
    assert good.result.intent


async def test_a_deadline_that_has_passed(stack: Local) -> None:
    """The call fails with DEADLINE_EXCEEDED and leaves at most one outcome; sent again in peace it is answered."""
    key = Key("intent", new_source(), "hurried")
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await ask(stack, key, NEIGHBOUR, within=0.001)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    reply = await ask(stack, key, NEIGHBOUR)
    assert reply.result.intent
    rows = await evidence.query(stack.values()["TIDEMILL_POSTGRES"], _OUTCOMES, key.source)
    assert [row["id"] for row in rows] == [key.id]


async def test_feedback_for_an_unknown_prediction(stack: Local) -> None:
    """By Kafka a dead letter that says so, beside a judgement of a real prediction that is accepted; by gRPC a refusal."""
    source = new_source()
    asked = await ask(stack, Key("intent", source, "question"), NEIGHBOUR)
    judged = asked.result.answer.prediction_id
    known = feedback_pb2.FeedbackRequest(prediction_id=judged, label=asked.result.intent, annotator="a-1")
    unknown = feedback_pb2.FeedbackRequest(prediction_id="no-such-prediction", label="refund", annotator="a-1")
    good, bad = Key("feedback", source, "good"), Key("feedback", source, "bad")
    await put(stack, [Event(good, known), Event(bad, unknown)])
    rows = await outcomes(stack, [good, bad])
    assert (rows[good]["kind"], rows[bad]["reason"]) == ("result", "UNKNOWN_PREDICTION")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(stack, Key("feedback", source, "called"), unknown)
    assert refused.value.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
