"""Samples from people's judgements of claimed images."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protos import imaging_pb2
from services.training.imaging.samples import SIDE, UNKNOWN, Samples
from shared.claim import Claims
from shared.errors import Reject
from shared.picture.decoders import Decoders
from shared.picture.grey import letterbox
from shared.store.labels import Label

_AT_ONCE = 4  # pictures that are read: more would not be faster, and each may be 64 MB
CONFIRMED, CORRECTED = 0.5, 4.0  # weights of a picture's loss, against 1 for a drawn one

log = logging.getLogger(__name__)

Picture = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Judged:
    """`used` and `left_out` are prediction ids: an inline image is not kept, a claimed one may have gone, a label may be unknown here.

    `judgements` are the ids of those that were learned from: what vouches for the data set.
    """

    samples: Samples
    used: tuple[str, ...]
    left_out: tuple[str, ...]
    judgements: tuple[str, ...]


async def judged(
    labels: Sequence[Label],
    known: Mapping[str, tuple[str, ...]],
    claims: Claims,
    decoders: Decoders,
    side: int = SIDE,
) -> Judged:
    """The pictures that people labelled, each with all that they said of it.

    Args:
        labels: of the domain `imaging`, any heads; labels that `known` lacks are left out.
        known: the labels of each head.

    Raises:
        Unavailable: the blob store or the decoders. A picture that is gone is left out; a store that is down is not.
    """
    by_prediction: dict[str, list[Label]] = {}
    for label in labels:
        if label.label in known.get(label.head, ()):
            by_prediction.setdefault(label.prediction_id, []).append(label)
    rows = [(id_, said, imaging_pb2.ImagingRequest.FromString(said[0].request)) for id_, said in by_prediction.items()]
    places = asyncio.Semaphore(_AT_ONCE)

    async def fetch(request: imaging_pb2.ImagingRequest) -> "Picture | None":
        async with places:
            return await _fetch(request, claims, decoders, side)

    pictures = await asyncio.gather(*(fetch(request) for _, _, request in rows))
    truth = {head: np.full(len(rows), UNKNOWN, np.int64) for head in known}
    for row, (_, said, _) in enumerate(rows):
        for label in said:
            truth[label.head][row] = known[label.head].index(label.label)
    used = [row for row, picture in enumerate(pictures) if picture is not None]
    pixels = np.stack([picture for picture in pictures if picture is not None] or [np.zeros((side, side), np.uint8)])
    samples = Samples(
        pixels[: len(used)],
        dict(known),
        {head: values[used] for head, values in truth.items()},
        tuple(rows[row][2].study or rows[row][2].claim.sha256 for row in used),
        np.array([_weight(rows[row][1]) for row in used], np.float32),
        ("judged",) * len(used),
    )
    kept = tuple(rows[row][0] for row in used)
    learned = set(kept)
    left_out = tuple(dict.fromkeys(label.prediction_id for label in labels if label.prediction_id not in learned))
    return Judged(
        samples, kept, left_out, tuple(sorted(id_ for row in used for s in rows[row][1] for id_ in s.judgement_ids))
    )


def _weight(said: Sequence[Label]) -> float:
    """What was merely confirmed weighs least: whoever confirmed it had seen the answer."""
    return CONFIRMED if all(label.confirmed for label in said) else CORRECTED


async def _fetch(
    request: imaging_pb2.ImagingRequest, claims: Claims, decoders: Decoders, side: int
) -> "Picture | None":
    if request.WhichOneof("image") != "claim":
        return None
    try:
        picture = await decoders.read(await claims.read(request.claim))
    except Reject as reject:
        log.warning("a judged image is left out: %s", reject.reason)
        return None
    return letterbox(picture.pixels, side)
