"""The domain in one line of wiring."""

from protos import feedback_pb2
from services.feedback.handler import facts, handle
from shared.domain import Domain
from shared.store.postgres import Store

DOMAIN = Domain(
    name="feedback",
    request=feedback_pb2.FeedbackRequest,
    result=feedback_pb2.FeedbackResult,
    call=feedback_pb2.FeedbackCall,
    reply=feedback_pb2.FeedbackReply,
    batch=feedback_pb2.FeedbackBatch,
    replies=feedback_pb2.FeedbackReplies,
    verb="Judge",
    handle=handle,
    facts=facts,
    open=Store.open,
    topic="feedback.v1",
    order=lambda request: str(request.prediction_id),
    infers=False,
)
