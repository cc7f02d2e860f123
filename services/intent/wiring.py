"""The domain in one line of wiring."""

from protos import intent_pb2
from services.intent.handler import handle, predictions
from shared.domain import Domain
from shared.heads import explainable

DOMAIN = Domain(
    name="intent",
    request=intent_pb2.IntentRequest,
    result=intent_pb2.IntentResult,
    call=intent_pb2.IntentCall,
    reply=intent_pb2.IntentReply,
    batch=intent_pb2.IntentBatch,
    replies=intent_pb2.IntentReplies,
    verb="Classify",
    handle=handle,
    predictions=predictions,
    order=lambda request: str(request.conversation),
    explains=explainable("intent"),
)
