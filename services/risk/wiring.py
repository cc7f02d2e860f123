"""The domain in one line of wiring, and its look-up of known issuers."""

from protos import risk_pb2
from services.risk.handler import facts, handle, predictions
from services.risk.issuers import Issuers
from services.risk.window import get_issuer
from shared.domain import Domain
from shared.heads import explainable
from shared.settings import Settings


async def open_issuers(settings: Settings) -> Issuers:
    return Issuers.read(settings.issuers)


DOMAIN = Domain(
    name="risk",
    request=risk_pb2.RiskRequest,
    result=risk_pb2.RiskResult,
    call=risk_pb2.RiskCall,
    reply=risk_pb2.RiskReply,
    batch=risk_pb2.RiskBatch,
    replies=risk_pb2.RiskReplies,
    verb="Assess",
    handle=handle,
    predictions=predictions,
    facts=facts,
    open=open_issuers,
    extra_methods={"GetIssuer": get_issuer},
    order=lambda request: str(request.issuers[0]) if request.issuers else "",
    explains=explainable("risk"),
)
