"""An answer to one question, as a panel that a person reads at a glance."""

from collections.abc import Iterable

from google.protobuf.message import Message
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from protos import event_pb2, imaging_pb2, intent_pb2, risk_pb2
from services.cli.answers.summary import summarize

_BAR = 24  # characters of a probability of 1


def answer_panel(domain: str, result: Message, known: bool) -> Panel:
    """The answer, how sure it is, why, and which model said it."""
    summary = summarize(result)
    answer: event_pb2.Answer = result.answer  # type: ignore[attr-defined]
    headline = Text(summary.decision, style="bold")
    if summary.confidence is not None:
        headline.append(f"  {summary.confidence:.1%}", style="bold green")
    parts: list[RenderableType] = [headline, *_body(result), Text(f"why: {summary.why}", style="italic")]
    model = f"{answer.model.name} {answer.model.version}".strip() or "no model"
    parts.append(
        Text(f"model {model} · prediction {answer.prediction_id} · trace {answer.trace_id or 'none'}", style="dim")
    )
    if known:
        parts.append(Text("this event had been settled before: this is the stored answer", style="yellow"))
    return Panel(Group(*parts), title=domain, title_align="left", expand=False)


def letter_panel(domain: str, letter: event_pb2.DeadLetter) -> Panel:
    """Why the event can never succeed."""
    where = f" (field {letter.field})" if letter.field else ""
    body = Group(Text(f"{letter.reason}{where}", style="bold red"), Text(letter.detail))
    return Panel(body, title=f"{domain}: dead letter", title_align="left", expand=False, border_style="red")


def _body(result: Message) -> list[RenderableType]:
    if isinstance(result, intent_pb2.IntentResult):
        return [_bars(result.ranking[:3]), Text(_tone(result))]
    if isinstance(result, risk_pb2.RiskResult):
        return [_issuers(result.issuers)]
    if isinstance(result, imaging_pb2.ImagingResult):
        facts = (
            f"{result.image.format} {result.image.width}×{result.image.height}  uncertainty {result.uncertainty:.2f}"
        )
        return [
            _bars(result.probabilities),
            Text(f"{facts}  {result.decision_reason}"),
            Text(result.notice, style="red"),
        ]
    return []


def _bars(scores: Iterable[event_pb2.Score]) -> Table:
    table = Table.grid(padding=(0, 2))
    for score in scores:
        table.add_row(score.label, f"{score.probability:.1%}", "█" * round(_BAR * score.probability))
    return table


def _tone(result: intent_pb2.IntentResult) -> str:
    tone = f"tone {result.sentiment}  " if result.sentiment else ""
    return f"{tone}language {result.language}  out-of-scope score {result.out_of_scope_score:.2f}"


def _issuers(issuers: Iterable[risk_pb2.IssuerRisk]) -> Table:
    table = Table("issuer", "named", "sentiment", "severity", "risk of 100", box=None, pad_edge=False)
    for item in issuers:
        table.add_row(
            item.issuer, item.name, _best(item.sentiment_ranking), _best(item.severity_ranking), f"{item.risk:.0f}"
        )
    return table


def _best(scores: Iterable[event_pb2.Score]) -> str:
    best = max(scores, key=lambda score: score.probability, default=None)
    return f"{best.label} {best.probability:.0%}" if best else ""
