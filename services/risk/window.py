"""An issuer's rolling risk, over gRPC."""

from datetime import UTC, datetime

from protos import risk_pb2
from services.risk.handler import check_issuer
from shared.errors import Reject
from shared.settlement.settlement import Means
from shared.store.issuers import windows
from shared.store.postgres import Store


async def get_issuer(request: risk_pb2.GetIssuerRequest, means: Means) -> risk_pb2.IssuerWindow:
    """The issuer's 1 h and 24 h risk as of `at`; zero where nothing was said of it.

    Raises:
        Reject: ISSUER_INVALID, AT_INVALID.
        Unavailable: Postgres cannot be reached.
    """
    check_issuer(request.issuer, "issuer")
    assert isinstance(means.store, Store)
    known = means.lookups.resolve([request.issuer], "")
    issuer = known[0].issuer
    found = (await windows(means.store, [issuer], _moment(request), projection=means.projection))[issuer]
    reply = risk_pb2.IssuerWindow(
        issuer=issuer,
        risk_1h=found.risk_1h,
        risk_24h=found.risk_24h,
        items_1h=found.items_1h,
        items_24h=found.items_24h,
    )
    reply.at.FromDatetime(found.at)
    return reply


def _moment(request: risk_pb2.GetIssuerRequest) -> datetime | None:
    if not request.HasField("at"):
        return None
    try:
        return request.at.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Reject("AT_INVALID", "at is outside years 1 to 9999", "at") from error
