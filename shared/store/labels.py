"""Training labels: a view over people's judgements, never a row that somebody edits.

One label for each (prediction, head, target) that people agree on, made of each annotator's last word:

1. A judgement that another one supersedes does not count, whoever's they are.
2. A label that was proposed does not count, until it is approved (by whoever starts a training), or its head tells it by now. Of a head
   with several right labels the judgement is all of them, as `shared.several` joins them: it counts once that holds for each.
3. Of what is left, each annotator (of one caller) has one vote on an answer: their latest judgement of it.
4. Each annotator has at most `per_annotator` votes a day, the first ones: nobody can flood a data set. (The day is the database's.)
5. The label with most votes wins if it has more than half of them; otherwise people disagree and there is no label.

All of it is a function of stored rows up to `until`, so that a data set can be made again from its manifest.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from shared.event import Key
from shared.heads import SEVERAL
from shared.several import SEPARATOR
from shared.store.engine import transaction
from shared.store.postgres import Store

PER_ANNOTATOR = 500  # votes a day

_LABELS = text("""
WITH standing AS (
    SELECT j.* FROM judgements j
    WHERE j.domain = :domain AND j.judged_at <= :until
      AND (NOT j.proposed OR NOT EXISTS (
           SELECT FROM unnest(CASE WHEN j.head = ANY(CAST(:several AS text[])) THEN string_to_array(j.label, :separator)
                              ELSE ARRAY[j.label] END) AS each
           WHERE each <> ALL(CAST(:approved AS text[]))
             AND (j.head, each) NOT IN (SELECT * FROM unnest(CAST(:heads AS text[]), CAST(:told AS text[])))))
      AND NOT EXISTS (SELECT FROM judgements later WHERE later.supersedes = j.judgement_id AND later.judged_at <= :until)
), votes AS (
    SELECT DISTINCT ON (prediction_id, head, target, caller, annotator) * FROM standing
    ORDER BY prediction_id, head, target, caller, annotator, judged_at DESC, judgement_id
), capped AS (
    SELECT *, row_number() OVER (
        PARTITION BY caller, annotator, date_trunc('day', judged_at, 'UTC') ORDER BY judged_at, judgement_id) AS nth FROM votes
), counted AS (
    SELECT prediction_id, head, target, label, count(*) AS votes, sum(count(*)) OVER answer AS all_votes,
           array_agg(judgement_id ORDER BY judgement_id) AS judgement_ids, max(judged_at) AS judged_at
    FROM capped WHERE nth <= :per_annotator GROUP BY prediction_id, head, target, label
    WINDOW answer AS (PARTITION BY prediction_id, head, target)
)
SELECT c.prediction_id, c.head, c.target, c.label, p.label AS predicted, p.domain, p.source, p.id, r.body AS request, o.event_time,
       p.model_version, c.votes, CAST(c.all_votes AS bigint) AS all_votes, c.judgement_ids, c.judged_at
FROM counted c JOIN predictions p USING (prediction_id, head, target) JOIN requests r USING (domain, source, id)
JOIN outcomes o USING (domain, source, id)
WHERE c.votes * 2 > c.all_votes ORDER BY c.prediction_id, c.head, c.target
""")


@dataclass(frozen=True, slots=True)
class Label:
    """What people agree an answer should have been, and where that comes from."""

    prediction_id: str
    head: str
    target: str
    label: str
    predicted: str  # what the model had said
    key: Key  # the event
    request: bytes  # the domain's request message, serialised
    event_time: datetime
    model_version: str  # that predicted
    votes: int  # annotators who say so
    all_votes: int  # annotators who say anything
    judgement_ids: tuple[str, ...]  # of the votes for it
    judged_at: datetime  # the last of them

    @property
    def agreement(self) -> float:
        """Share of the annotators, above 0.5 to 1."""
        return self.votes / self.all_votes

    @property
    def confirmed(self) -> bool:
        """People said what the model had said, which is weaker evidence than a correction: they had seen its answer."""
        return self.label == self.predicted


async def labels(
    store: Store,
    domain: str,
    *,
    until: datetime | None = None,
    approved: Collection[str] = (),
    told: Collection[tuple[str, str]] = (),
    per_annotator: int = PER_ANNOTATOR,
) -> list[Label]:
    """The domain's labels, ordered by prediction id, head and target. Answers whose request was erased have none.

    Args:
        until: judgements after it do not count; None: now. A manifest must record the moment, to be repeatable.
        approved: proposed labels that somebody has approved.
        told: (head, label) that the live model tells: what was proposed before it did counts, of that head.
        per_annotator: most votes of one annotator a day.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    values = {
        "domain": domain,
        "until": until or datetime.now(UTC),
        "approved": list(approved),
        "heads": [head for head, _ in told],
        "told": [label for _, label in told],
        "per_annotator": per_annotator,
        "several": list(SEVERAL.get(domain, ())),
        "separator": SEPARATOR,
    }
    async with transaction(store.engine) as connection:
        rows = (await connection.execute(_LABELS, values)).mappings().all()
    return [_label(dict(row)) for row in rows]


def _label(row: dict[str, Any]) -> Label:
    key = Key(row.pop("domain"), row.pop("source"), row.pop("id"))
    return Label(**row | {"key": key, "judgement_ids": tuple(row["judgement_ids"])})
