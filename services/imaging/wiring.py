"""The domain in one line of wiring, and its look-up of images."""

from protos import imaging_pb2
from services.imaging.handler import handle, keep, predictions
from services.imaging.images import Images
from shared.domain import Domain
from shared.heads import explainable
from shared.settings import Settings


async def open_images(settings: Settings) -> Images:
    return Images.open(settings)


DOMAIN = Domain(
    name="imaging",
    request=imaging_pb2.ImagingRequest,
    result=imaging_pb2.ImagingResult,
    call=imaging_pb2.ImagingCall,
    reply=imaging_pb2.ImagingReply,
    batch=imaging_pb2.ImagingBatch,
    replies=imaging_pb2.ImagingReplies,
    verb="Read",
    handle=handle,
    predictions=predictions,
    open=open_images,
    order=lambda request: str(request.study),
    explains=explainable("imaging"),
    keep=keep,
    at_once=16,
)
