"""A few answers looked at closely: how sure, and why."""

from typing import Any

from rich.console import Console
from rich.text import Text

from protos import event_pb2, risk_pb2
from services.cli.answers.call import invoke
from services.cli.answers.panel import answer_panel
from services.cli.contract import contracts, order
from services.cli.demo.cast import Sending
from services.cli.problem import Problem
from services.cli.sending.draft import Draft
from services.cli.sending.generate import shipped
from services.cli.stack import Stack


def show_answers(stack: Stack, console: Console, events: list[Sending]) -> None:
    """One answer of each domain, asked by gRPC about an event that came by Kafka: the stored answer, not a second one.

    Raises:
        Problem: a call failed, or the event has another outcome by this door than by the other.
    """
    for name in contracts():
        draft = next(draft for domain, draft in events if domain == name and _shows_well(draft))
        console.print(Text(_words(draft), "bold"))
        contract, request = contracts()[name], draft.request
        assert not isinstance(request, bytes)
        event = event_pb2.Event(source=draft.source, id=draft.id, subject=order(request))
        reply = invoke(contract, stack.address(name), contract.call(event=event, request=request), deadline=30)
        if reply.WhichOneof("outcome") != "result" or not reply.known:  # type: ignore[attr-defined]
            raise Problem(f"{name}: event {draft.id} was answered anew by gRPC, although Kafka had brought it before")
        console.print(answer_panel(name, reply.result, known=True))  # type: ignore[attr-defined]


def _shows_well(draft: Draft) -> bool:
    """A good event and, where it has words, in English; of headlines, one that is good for one and bad for another."""
    request = draft.request
    if isinstance(request, risk_pb2.RiskRequest):
        return any(row["text"] == request.headline and _is_mixed(row) for row in shipped("risk/headlines.jsonl"))
    return not draft.id.startswith("wrong-") and getattr(request, "language", "en") == "en"


def _is_mixed(row: dict[str, Any]) -> bool:
    return row["language"] == "en" and {item["sentiment"] for item in row["issuers"]} >= {"negative", "positive"}


def _words(draft: Draft) -> str:
    """What the person or the machine had sent."""
    request = draft.request
    text = getattr(request, "text", "") or getattr(request, "headline", "")
    return f"“{text}”" if text else "a chest radiograph, drawn for this demo and of nobody"
