"""Imaging events through settlement into a real Postgres: what is stored, and what is not."""

import asyncio
import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from protos import event_pb2, imaging_pb2
from services.imaging.images import Images
from services.imaging.wiring import DOMAIN
from shared.errors import Unavailable
from shared.settings import Settings
from shared.settlement.settlement import Means, settle
from shared.store.outcome import Settled
from shared.store.postgres import Store
from shared.store.tables import outcomes, predictions, requests
from tests.fakes import FakeProjection, FakeStore, arrival
from tests.imaging import samples
from tests.imaging.test_handler import FixedInference

FILE = samples.dicom(PatientName="CANARY^JANE", PatientID="CANARY")


def events(missing: str = "gone.dcm") -> dict[str, imaging_pb2.ImagingRequest]:
    sha256 = hashlib.sha256(FILE).hexdigest()
    claim = event_pb2.Claim(store="x-rays", key="chest.dcm", sha256=sha256)
    gone = event_pb2.Claim(store="x-rays", key=missing, sha256=sha256)
    return {
        "good inline": imaging_pb2.ImagingRequest(inline=FILE, study="s-1"),
        "not an image": imaging_pb2.ImagingRequest(inline=b"not an image"),
        "good by claim": imaging_pb2.ImagingRequest(claim=claim, study="s-1"),
        "a bomb": imaging_pb2.ImagingRequest(inline=samples.png_header(60_000, 60_000)),
        "an MR": imaging_pb2.ImagingRequest(inline=samples.dicom(Modality="MR")),
        "gone": imaging_pb2.ImagingRequest(claim=gone),
    }


async def test_a_mixed_batch_ends_as_results_and_dead_letters(postgres: str, tmp_path: Path) -> None:
    """Good images survive their neighbours, no picture and no patient is kept, and each answer can be judged."""
    (tmp_path / "chest.dcm").write_bytes(FILE)
    store = await Store.open(Settings(postgres=postgres))
    images = Images.open(Settings(blobs={"x-rays": tmp_path}, decoders=1))
    batch = [arrival(e.SerializeToString(), name, domain="imaging") for name, e in events().items()]
    try:
        means = Means(store=store, infer=FixedInference(), lookups=images, projection=FakeProjection())
        settled = await settle(DOMAIN, batch, means)
        async with store.engine.connect() as connection:
            rows = {row.id: row for row in await connection.execute(select(outcomes))}
            kept = {row.id: row.body for row in await connection.execute(select(requests))}
            judged = {(row.id, row.head): row.label for row in await connection.execute(select(predictions))}
    finally:
        await images.close()
        await store.close()
    assert all(isinstance(each, Settled) for each in settled)
    assert {name: row.reason for name, row in rows.items()} == {
        "good inline": None,
        "not an image": "IMAGE_FORMAT_UNKNOWN",
        "good by claim": None,
        "a bomb": "IMAGE_TOO_LARGE",
        "an MR": None,
        "gone": "CLAIM_NOT_FOUND",
    }
    assert {name for name, _ in judged} == {"good inline", "good by claim"}
    assert judged["good inline", "finding"] == "opacity"
    assert imaging_pb2.ImagingRequest.FromString(kept["good inline"]) == imaging_pb2.ImagingRequest(study="s-1")
    assert imaging_pb2.ImagingRequest.FromString(kept["good by claim"]) == events()["good by claim"]
    assert not any(b"CANARY" in body for body in (*kept.values(), *(row.body for row in rows.values())))


async def test_a_store_that_is_down_keeps_the_event_waiting(tmp_path: Path) -> None:
    """Nothing is stored for an event whose blob store is away: a caller is told so, a stream tries again."""
    store = FakeStore()
    images = Images.open(Settings(blobs={"x-rays": tmp_path / "unmounted"}, decoders=1))
    soon = asyncio.get_running_loop().time() + 0.5
    asked = arrival(events()["good by claim"].SerializeToString(), domain="imaging", deadline=soon)
    try:
        means = Means(store=store, infer=FixedInference(), lookups=images, projection=FakeProjection())
        [settled] = await settle(DOMAIN, [asked], means)
    finally:
        await images.close()
    assert isinstance(settled, Unavailable)
    assert settled.what == "blob store x-rays"
    assert store.rows == {}


@pytest.mark.parametrize("name", ["good inline", "good by claim"])
async def test_the_same_image_is_answered_once(tmp_path: Path, name: str) -> None:
    """A redelivered event gets its stored outcome, and the model is not asked again."""
    (tmp_path / "chest.dcm").write_bytes(FILE)
    infer = FixedInference()
    images = Images.open(Settings(blobs={"x-rays": tmp_path}, decoders=1))
    event = arrival(events()[name].SerializeToString(), domain="imaging")
    try:
        means = Means(store=FakeStore(), infer=infer, lookups=images, projection=FakeProjection())
        [first], [second] = await settle(DOMAIN, [event], means), await settle(DOMAIN, [event], means)
    finally:
        await images.close()
    assert isinstance(first, Settled)
    assert isinstance(second, Settled)
    assert (first.known, second.known) == (False, True)
    assert first.outcome.body == second.outcome.body
    assert len(infer.asked) == 1
