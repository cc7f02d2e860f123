"""Where a request's image comes from: its own bytes or a claim, and the decoders."""

import asyncio

from protos import imaging_pb2
from services.imaging.turnstile import Turnstile
from shared.claim import Claims
from shared.errors import Reject
from shared.picture.decoders import Decoders
from shared.picture.picture import Picture
from shared.settings import Settings

MAX_INLINE_BYTES = 8 * 1024 * 1024


class Images:
    """The look-up of this domain.

    An image's bytes are fetched only when a decoder is about to be free, so that a batch of large claims does not fill the memory;
    urgent ones go first.
    """

    def __init__(self, claims: Claims, decoders: Decoders, places: int) -> None:
        self._claims, self._decoders = claims, decoders
        self._turnstile = Turnstile(places)

    @classmethod
    def open(cls, settings: Settings) -> "Images":
        places = settings.decoders + 1  # so that the next image is at hand when a decoder is free
        return cls(Claims(settings.blobs, at_once=2 * places), Decoders(settings.decoders), places)

    async def read(self, request: imaging_pb2.ImagingRequest, rank: int) -> Picture:
        """The request's picture; a lower `rank` goes before a higher one.

        Raises:
            Reject: ``IMAGE_MISSING``, ``IMAGE_TOO_LARGE``, and all of `Claims.read` and `Decoders.read`.
            Unavailable: the blob store or the decoders.
        """
        source = request.WhichOneof("image")
        if source is None:
            raise Reject("IMAGE_MISSING", "one of inline and claim must be set", "image")
        if len(request.inline) > MAX_INLINE_BYTES:
            raise Reject(
                "IMAGE_TOO_LARGE",
                f"inline has {len(request.inline):,} bytes; the limit is {MAX_INLINE_BYTES:,}: send larger images by claim",
                "inline",
            )
        async with self._turnstile.enter(rank):
            data = request.inline if source == "inline" else await self._claims.read(request.claim)
            return await self._decoders.read(data)

    async def close(self) -> None:
        await asyncio.to_thread(self._decoders.close)  # which waits for the images in hand
