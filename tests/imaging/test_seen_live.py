"""Maps from the inference service itself: asked for by the domain, kept in the result, and drawn in a terminal."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protos import imaging_pb2
from services.cli.answers.explained import explain, why_missing
from services.imaging.handler import handle
from services.imaging.images import Images
from shared.domain import Tools
from shared.event import Key
from shared.inference.client import Client
from shared.settings import Settings
from tests.imaging import samples
from tests.inference.conftest import serving, until
from tests.inference.test_heat import live
from tests.inference.test_picture import SPEC


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    opened = Images.open(Settings(decoders=1))
    yield opened
    asyncio.run(opened.close())


@pytest.mark.parametrize(
    ("head", "poor", "label"),
    [("finding", 1.0, "normal opacity"), ("quality", 0.0, "good poor"), ("finding", 0.0, ""), ("", 1.0, "")],
)
async def test_the_domain_gets_its_map_from_the_service(
    images: Images, tmp_path: Path, head: str, poor: float, label: str
) -> None:
    """Of the head asked for, adding up to its lead; of a picture that is not assessable only of its quality, and that is said."""
    settings = Settings(models=tmp_path / "models")
    spec = SPEC.model_copy(update={"thresholds": {"quality.poor": poor}})
    async with serving(settings, live(tmp_path, spec)) as server:
        await until(lambda: server.registry.ready)
        client = Client(settings.model_copy(update={"inference": server.address}))
        tools = Tools(Key("imaging", "test", "1"), client, datetime.now(UTC), explain=head, lookups=images)
        result = await handle(imaging_pb2.ImagingRequest(inline=samples.dicom()), tools)
        await client.close()
    assert (result.decision == imaging_pb2.DECISION_NOT_ASSESSABLE) == (poor == 0.0)
    if not label:
        assert not result.answer.explanations
        said = "--head quality explains why" if poor == 0.0 else "gives no explanation"
        assert said in why_missing(imaging_pb2.ImagingReply(result=result), head or "finding")
        return
    (told,) = result.answer.explanations
    assert (told.head, told.seen.down, told.seen.across) == (head, 8, 8)
    assert told.label in label.split()
    assert sum(told.seen.scores) + told.rest == pytest.approx(told.lead, abs=1e-3)
    lines = [line.plain.strip() for line in explain(told, "")]
    assert lines[0].startswith(f"{head}: {told.label}  lead ")
    assert [len(line) for line in lines[1:-1]] == [16] * 8
    assert set("".join(lines[1:-1])) & {"#", "="}
    assert why_missing(imaging_pb2.ImagingReply(result=result), head) == ""
