"""Every table. Rows are only ever added, except in `calls`, `outbox` and `requests` (whose payloads an erasure deletes).

`outcomes` is the truth: exactly one row an event, a result XOR a dead letter. Topics and Redis are projections of it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

_now = func.now()


def _moment(name: str, **options: object) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, **options)  # type: ignore[arg-type]


outcomes = Table(
    "outcomes",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),  # of the payload: the same key with another digest is refused
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the domain's result, or tidemill.v1.DeadLetter, serialised
    Column("reason", Text),  # of a dead letter
    Column("model_version", Text),
    Column("caller", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("place", Text, nullable=False),  # which arrival it was: topic:partition:offset, or the call
    Column("trace_id", Text, nullable=False),
    _moment("event_time"),
    _moment("arrived_at"),
    _moment("stored_at", server_default=_now),
    CheckConstraint("kind IN ('result', 'dead_letter')"),
    CheckConstraint("(kind = 'dead_letter') = (reason IS NOT NULL)"),
    Index(
        "outcomes_by_time", "stored_at", "domain"
    ),  # not the domain first: a table without statistics is then read by its key
)

_OUTCOME_KEY = (["domain", "source", "id"], ["outcomes.domain", "outcomes.source", "outcomes.id"])

requests = Table(  # what people wrote, apart from what we said of it, so that it can be erased
    "requests",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # the domain's request message, serialised; inline images left out
    ForeignKeyConstraint(*_OUTCOME_KEY),
)

predictions = Table(
    "predictions",
    metadata,
    Column("prediction_id", Text, primary_key=True),
    Column("head", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("position", SmallInteger, nullable=False),  # its place among the result's predictions, from 0
    Column("domain", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("probabilities", JSONB, nullable=False),  # the full calibrated distribution
    Column("model", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    _moment("predicted_at", server_default=_now),
    ForeignKeyConstraint(*_OUTCOME_KEY),
)

judgements = Table(
    "judgements",
    metadata,
    Column("judgement_id", Text, primary_key=True),
    Column("prediction_id", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("proposed", Boolean, nullable=False),  # a label the model does not know: quarantined until approved
    Column("annotator", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("confidence", Double),
    Column("seconds", Double),
    Column("comment", Text, nullable=False),
    Column("supersedes", Text),
    _moment("judged_at", server_default=_now),
    ForeignKeyConstraint(
        ["prediction_id", "head", "target"], ["predictions.prediction_id", "predictions.head", "predictions.target"]
    ),
    Index("judgements_by_prediction", "prediction_id"),
    Index("judgements_by_domain", "domain", "judged_at"),
)

issuer_risks = Table(  # one row for each issuer of each result; windows are computed from them by event time
    "issuer_risks",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("issuer", Text, primary_key=True),
    Column("risk", Double, nullable=False),  # s, 0 to 1
    _moment("event_time"),
    ForeignKeyConstraint(*_OUTCOME_KEY),
    Index("issuer_risks_by_issuer", "issuer", "event_time"),
)

repeats = Table(  # arrivals of events that had been settled before, with the same payload
    "repeats",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    _moment("seen_at", server_default=_now),
)

incidents = Table(  # arrivals refused because their key belongs to another payload
    "incidents",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("caller", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _moment("seen_at", server_default=_now),
)

calls = Table(  # gRPC calls that a server process has accepted, and those it gave back without an outcome
    "calls",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("accepted", BigInteger, nullable=False),
    Column("settled", BigInteger, nullable=False),
    Column(
        "returned", BigInteger, nullable=False
    ),  # expired, cancelled or unavailable: the caller was told, there is no outcome
    _moment("seen_at", server_default=_now),
)

outbox = Table(  # outcomes of gRPC calls that are not yet on their topic and in Redis
    "outbox",
    metadata,
    Column("domain", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    _moment("queued_at", server_default=_now),
    ForeignKeyConstraint(*_OUTCOME_KEY),
)

ledger = Table(  # the hash-chained history of what is live
    "ledger",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("bundle_digest", Text, nullable=False),  # sha256 of the bundle's manifest
    Column("evidence", JSONB, nullable=False),  # dataset manifest, gate report, seeds, code commit, base revision
    Column("approver", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),  # RFC 3339, as hashed
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("previous"),
    CheckConstraint("action IN ('promote', 'rollback')"),
    Index("ledger_by_model", "model", "seq"),
)
