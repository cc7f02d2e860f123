"""The first schema: outcomes, what belongs to them, and the ledger; append-only where history must not change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_EVENT = (["domain", "source", "id"], ["outcomes.domain", "outcomes.source", "outcomes.id"])
_APPEND_ONLY = ("outcomes", "predictions", "judgements", "issuer_risks", "repeats", "incidents", "ledger")


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _event() -> list[sa.Column[str]]:
    return [_text("domain"), _text("source"), _text("id")]


def _moment(name: str, *, now: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now() if now else None, nullable=False)


def upgrade() -> None:
    _outcomes()
    _what_belongs_to_them()
    _judgements()
    _arrivals()
    _ledger()
    _append_only()


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        *_event(),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        _text("kind"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        _text("reason", null=True),
        _text("model_version", null=True),
        _text("caller"),
        _text("subject"),
        _text("door"),
        _text("place"),
        _text("trace_id"),
        _moment("event_time", now=False),
        _moment("arrived_at", now=False),
        _moment("stored_at"),
        sa.PrimaryKeyConstraint("domain", "source", "id"),
        sa.CheckConstraint("kind IN ('result', 'dead_letter')"),
        sa.CheckConstraint("(kind = 'dead_letter') = (reason IS NOT NULL)"),
    )
    op.create_index("outcomes_by_time", "outcomes", ["stored_at", "domain"])


def _what_belongs_to_them() -> None:
    op.create_table(
        "requests",
        *_event(),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("domain", "source", "id"),
        sa.ForeignKeyConstraint(*_EVENT),
    )
    op.create_table(
        "predictions",
        _text("prediction_id"),
        _text("head"),
        _text("target"),
        sa.Column("position", sa.SmallInteger, nullable=False),
        *_event(),
        _text("label"),
        sa.Column("probabilities", JSONB, nullable=False),
        _text("model"),
        _text("model_version"),
        _text("trace_id"),
        _moment("predicted_at"),
        sa.PrimaryKeyConstraint("prediction_id", "head", "target"),
        sa.ForeignKeyConstraint(*_EVENT),
    )
    op.create_table(
        "issuer_risks",
        *_event(),
        _text("issuer"),
        sa.Column("risk", sa.Double, nullable=False),
        _moment("event_time", now=False),
        sa.PrimaryKeyConstraint("domain", "source", "id", "issuer"),
        sa.ForeignKeyConstraint(*_EVENT),
    )
    op.create_index("issuer_risks_by_issuer", "issuer_risks", ["issuer", "event_time"])
    op.create_table(
        "outbox",
        *_event(),
        _moment("queued_at"),
        sa.PrimaryKeyConstraint("domain", "source", "id"),
        sa.ForeignKeyConstraint(*_EVENT),
    )


def _judgements() -> None:
    op.create_table(
        "judgements",
        _text("judgement_id"),
        _text("prediction_id"),
        _text("head"),
        _text("target"),
        _text("domain"),
        _text("label"),
        sa.Column("proposed", sa.Boolean, nullable=False),
        _text("annotator"),
        _text("caller"),
        sa.Column("confidence", sa.Double),
        sa.Column("seconds", sa.Double),
        _text("comment"),
        _text("supersedes", null=True),
        _moment("judged_at"),
        sa.PrimaryKeyConstraint("judgement_id"),
        sa.ForeignKeyConstraint(
            ["prediction_id", "head", "target"], ["predictions.prediction_id", "predictions.head", "predictions.target"]
        ),
    )
    op.create_index("judgements_by_prediction", "judgements", ["prediction_id"])
    op.create_index("judgements_by_domain", "judgements", ["domain", "judged_at"])


def _arrivals() -> None:
    op.create_table(
        "repeats",
        _text("domain"),
        _text("place"),
        _text("source"),
        _text("id"),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("domain", "place"),
    )
    op.create_table(
        "incidents",
        _text("domain"),
        _text("place"),
        _text("source"),
        _text("id"),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        _text("caller"),
        _text("reason"),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("domain", "place"),
    )
    op.create_table(
        "calls",
        _text("domain"),
        _text("instance"),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("accepted", "settled", "returned")),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("domain", "instance"),
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        _text("model"),
        _text("version"),
        _text("action"),
        _text("bundle_digest"),
        sa.Column("evidence", JSONB, nullable=False),
        _text("approver"),
        _text("recorded_at"),
        _text("previous"),
        _text("hash"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("previous"),
        sa.CheckConstraint("action IN ('promote', 'rollback')"),
    )
    op.create_index("ledger_by_model", "ledger", ["model", "seq"])


def _append_only() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; "
        "END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
