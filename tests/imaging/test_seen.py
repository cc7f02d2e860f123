"""Maps of what spoke for a finding, in results and as people see them."""

import asyncio
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from protos import event_pb2, imaging_pb2
from services.cli.answers.explained import explain
from services.imaging.handler import handle
from services.imaging.images import Images
from shared.domain import Tools
from shared.event import Key
from shared.explanation import MOST_CELLS, find_lead
from shared.inference.contract import Card, Inference, Value
from shared.settings import Settings
from tests.imaging import samples

CARD = Card(
    "imaging", "v1", {"finding": ("normal", "opacity", "effusion"), "quality": ("good", "poor")}, {"quality.poor": 0.5}
)
CELLS = np.array([[2.0, 0.5, 0.0], [-0.1, -1.5, 0.02]], np.float32)


class Seeing:
    """Answers with a map where it is asked for one."""

    def __init__(self, cells: NDArray[np.float32] = CELLS, poor: float = 0.1) -> None:
        self.cells, self.poor = cells, poor

    async def __call__(
        self, model: str, row: Mapping[str, Value], *, priority: int = 0, explain: str = ""
    ) -> Inference:
        found = {"finding": (0.06, 0.9, 0.04), "quality": (1 - self.poor, self.poor)}
        extra = {"heat_map": self.cells} if explain else {}
        return Inference(CARD, {head: np.array(p, np.float32) for head, p in found.items()}, extra=extra)


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    opened = Images.open(Settings(decoders=1))
    yield opened
    asyncio.run(opened.close())


async def explanations(images: Images, infer: Seeing, head: str) -> list[event_pb2.Explanation]:
    tools = Tools(Key("imaging", "test", "1"), infer, datetime.now(UTC), explain=head, lookups=images)
    result = await handle(imaging_pb2.ImagingRequest(inline=samples.dicom()), tools)
    return list(result.answer.explanations)


async def test_a_finding_is_explained_by_the_map_of_it(images: Images) -> None:
    """Cells as the model has them, whose sum with the rest is the lead of the finding over its rivals."""
    (told,) = await explanations(images, Seeing(), "finding")
    assert (told.head, told.label, told.seen.down, told.seen.across) == ("finding", "opacity", 2, 3)
    np.testing.assert_allclose(told.seen.scores, CELLS.ravel())
    assert told.lead == pytest.approx(math.log(0.9) - (0.06 * math.log(0.06) + 0.04 * math.log(0.04)) / 0.1, abs=1e-3)
    assert sum(told.seen.scores) + told.rest == pytest.approx(told.lead, abs=1e-3)


@pytest.mark.parametrize(
    ("head", "poor", "side", "expected"),
    [("", 0.1, 2, []), ("finding", 0.1, MOST_CELLS, []), ("finding", 0.9, 2, []), ("quality", 0.9, 2, ["poor"])],
)
async def test_maps_are_only_of_what_was_asked_for_and_judged(
    images: Images, head: str, poor: float, side: int, expected: list[str]
) -> None:
    """Nothing is told of a finding where the picture is not assessable; a map too fine for a result is left out."""
    told = await explanations(images, Seeing(np.ones((2, side), np.float32), poor), head)
    assert [each.label for each in told] == expected


def test_a_lead_is_that_of_the_logits() -> None:
    """Whatever they are; of labels without rivals it is the logit itself; of certainty there is none to tell."""
    logits = np.array([2.5, -1.0, 0.5])
    p = np.exp(logits) / np.exp(logits).sum()
    rivals = p[1:] / p[1:].sum()
    card = Card("m", "1", {"h": ("a", "b", "c")})
    assert find_lead(Inference(card, {"h": p}), "h") == pytest.approx(2.5 - rivals @ logits[1:])
    several = Card("m", "1", {"h": ("a", "b", "c")}, several=frozenset({"h"}))
    assert find_lead(Inference(several, {"h": 1 / (1 + np.exp(-logits))}), "h") == pytest.approx(2.5)
    for one in (card, several):
        assert find_lead(Inference(one, {"h": np.array([1.0, 0.0, 0.0])}), "h") == 0.0


def test_a_map_is_readable_without_colour() -> None:
    """A line of cells after the other, and what it must not be taken for; one of a wrong size is not drawn."""
    seen = event_pb2.HeatMap(down=2, across=3, scores=CELLS.ravel().tolist())
    lines = explain(event_pb2.Explanation(head="finding", label="opacity", lead=1.5, rest=0.58, seen=seen), "")
    assert [line.plain.strip() for line in lines[1:3]] == ["##++··", "··==··"]
    assert "finding: opacity  lead +1.50 = parts for +2.52, against -1.60, rest +0.58" in lines[0].plain
    assert "not the outline of a lesion" in lines[3].plain
    seen.across = 9
    assert len(explain(event_pb2.Explanation(seen=seen), "")) == 2
