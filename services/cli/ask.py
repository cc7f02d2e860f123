"""`tidemill ask`."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

from protos import event_pb2, risk_pb2
from services.cli.answers import explained
from services.cli.answers.call import invoke, unary
from services.cli.answers.laid import OPTION, check_overlay, lay_over
from services.cli.answers.panel import answer_panel, letter_panel
from services.cli.argument import Address, Deadline, DomainName, Reply, contract_of, head_of
from services.cli.contract import Contract, order
from services.cli.needs import stack_with
from services.cli.problem import Problem
from services.cli.sending import images
from services.cli.sending.intake import Options
from services.cli.stack import DEFAULT, Data, Stack


def ask(
    domain: DomainName,
    question: Annotated[str, typer.Argument(help="The text, or for images the file.", show_default=False)] = "",
    language: Annotated[str, typer.Option(help="BCP 47; else it is detected.")] = "",
    issuer: Annotated[
        list[str] | None, typer.Option(help="risk: judge for this issuer (id or name); may repeat.")
    ] = None,
    issuer_window: Annotated[
        str, typer.Option(metavar="ID", help="risk: an issuer's rolling risk, 1 h and 24 h.")
    ] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="What spoke for it, and what against: words, or parts of a picture.")
    ] = False,
    head: Annotated[str, typer.Option(help="--explain this of its answers, not the first: e.g. sentiment.")] = "",
    overlay: Annotated[
        Path | None, typer.Option(OPTION, metavar="OUT.png", help="imaging: lay the explanation over the picture.")
    ] = None,
    source: Annotated[
        str, typer.Option(help="With --id: names the event, so that asking again gives the same answer.")
    ] = "cli/ask",
    id_: Annotated[str, typer.Option("--id", help="Else one is generated.")] = "",
    caller: Annotated[str, typer.Option(help="The tenant that pays and is rate-limited.")] = "",
    deadline: Deadline = 10,
    address: Address = "",
    as_json: Reply = False,
    data: Data = DEFAULT,
) -> None:
    """Ask one question by gRPC; see the answer, how sure, why, how to correct it.

    It is an event like any other: stored, published, and open to feedback. Exit
    status 1 if the call failed, the event was rejected, or --explain was asked for
    and there is no explanation. Its scores add up to the lead of a label over its
    rivals; --json has them all.

      tidemill ask intent "my card still has not arrived"
      tidemill ask intent "I was charged twice" --explain
      tidemill ask intent "I was charged twice" --head sentiment --json
      tidemill ask risk "Nordhavn warns on profit as rates fall"
      tidemill ask risk "Regulator fines Brackmoor" --issuer BRKM --json
      tidemill ask risk --issuer-window NRDH
      tidemill ask imaging chest.dcm --explain
      tidemill ask imaging chest.dcm --overlay seen.png
    """
    contract = contract_of(domain)
    wanted = head_of(contract, head, "--head") if explain or head or overlay else ""
    if overlay:
        check_overlay(Path(question), overlay, not contract.text_field)
    stack = stack_with(data, *([] if address else [domain]))
    address = address or stack.address(domain)
    if issuer_window:
        _print_window(contract, address, issuer_window, deadline, as_json)
        return
    request = _request(contract, question, language, issuer or [], stack)
    event = event_pb2.Event(source=source, id=id_, caller=caller, subject=order(request))
    event.time.FromDatetime(datetime.now(UTC))
    call = contract.call(event=event, request=request, **({"explain": wanted} if wanted else {}))
    reply = invoke(contract, address, call, deadline)
    text = str(getattr(request, contract.text_field)) if contract.text_field else ""
    where = "" if data == DEFAULT or "TIDEMILL_DATA" in os.environ else f" --data {data}"
    _print_reply(contract, reply, text, bool(wanted), as_json, where)
    if reply.WhichOneof("outcome") != "result":
        raise typer.Exit(1)
    if wanted and (missing := explained.why_missing(reply, wanted)):
        raise Problem(missing)
    if overlay:
        answer: event_pb2.Answer = reply.result.answer  # type: ignore[attr-defined]
        lay_over(next(told for told in answer.explanations if told.head == wanted), Path(question), overlay)
        typer.echo(f"laid over the picture: {overlay}", err=True)


def _request(contract: Contract, question: str, language: str, issuers: list[str], stack: Stack) -> Message:
    """The domain's request for one question.

    Raises:
        Problem: the question is missing, or an option is not this domain's.
    """
    if not question:
        raise Problem(f"what to ask? See `tidemill ask --help` for {contract.name}'s")
    if not contract.text_field:
        (draft,) = images.read([Path(question)], stack.settings.blobs, False, Options())
        assert isinstance(draft.request, Message)
        return draft.request
    fields = {contract.text_field: question, "language": language, "issuers": issuers}
    if not all(map(is_utf8, (question, language, *issuers))):
        raise Problem("what is asked must be UTF-8; this holds other bytes")
    known = contract.request.DESCRIPTOR.fields_by_name
    given = {name: value for name, value in fields.items() if value}
    if foreign := [name for name in given if name not in known]:
        raise Problem(f"a question to {contract.name} has no {', '.join(foreign)}")
    return contract.request(**given)


def is_utf8(word: str) -> bool:
    """Not so where the shell handed over bytes that are none: each stands then for itself, as half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _print_reply(contract: Contract, reply: Message, text: str, explains: bool, as_json: bool, where: str) -> None:
    console = Console()
    if as_json:
        typer.echo(json.dumps(explained.as_json(reply, text), indent=2, ensure_ascii=False))
    elif reply.WhichOneof("outcome") == "result":
        result = reply.result  # type: ignore[attr-defined]
        console.print(answer_panel(contract.name, result, reply.known))  # type: ignore[attr-defined]
        for told in result.answer.explanations if explains else ():
            for line in explained.explain(told, text):
                console.print(line, soft_wrap=not console.is_terminal)
        follow_up = f"tidemill feedback {result.answer.prediction_id} LABEL{_target(result)}{where}"
        console.print(Text("to correct it:  ").append(follow_up, "cyan"), soft_wrap=True)
    else:
        console.print(letter_panel(contract.name, reply.dead_letter))  # type: ignore[attr-defined]


def _target(result: Message) -> str:
    """Which of several issuers the correction is about."""
    if not isinstance(result, risk_pb2.RiskResult) or not result.issuers:
        return ""
    return f" --head sentiment --target {result.issuers[0].issuer}"


def _print_window(contract: Contract, address: str, issuer: str, deadline: float, as_json: bool) -> None:
    if contract.name != "risk":
        raise Problem("--issuer-window is a question to risk")
    request = risk_pb2.GetIssuerRequest(issuer=issuer)
    window = unary(address, f"/{contract.service}/GetIssuer", request, risk_pb2.IssuerWindow, deadline)
    assert isinstance(window, risk_pb2.IssuerWindow)
    if as_json:
        typer.echo(json_format.MessageToJson(window, preserving_proto_field_name=True))
        return
    at = window.at.ToDatetime(UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    table = Table("window", "risk of 100", "items", box=None, title=f"{window.issuer} at {at}", title_justify="left")
    table.add_row("1 h", f"{window.risk_1h:.1f}", str(window.items_1h))
    table.add_row("24 h", f"{window.risk_24h:.1f}", str(window.items_24h))
    Console().print(table)
