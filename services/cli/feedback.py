"""`tidemill feedback`."""

from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.text import Text

from protos import event_pb2, feedback_pb2
from services.cli import send
from services.cli.answers.call import invoke
from services.cli.answers.panel import letter_panel
from services.cli.argument import Address, Deadline, Reply
from services.cli.contract import feedback as feedback_contract
from services.cli.needs import stack_with
from services.cli.problem import Problem
from services.cli.sending.draft import record
from services.cli.sending.intake import Options
from services.cli.sending.plan import Plan, drafts
from services.cli.sending.produce import produce
from services.cli.sending.progress import sending_bar
from services.cli.stack import DEFAULT, Data
from shared.settings import Settings


def feedback(
    prediction: Annotated[
        str, typer.Argument(metavar="PREDICTION_ID", help="From the answer.", show_default=False)
    ] = "",
    label: Annotated[
        str,
        typer.Argument(
            metavar="LABEL",
            help="What you say it is; of a head declared to have several right labels, all: 'a|b'.",
            show_default=False,
        ),
    ] = "",
    head: Annotated[
        str, typer.Option(help="Which of its answers: intent, sentiment, severity, finding. Else the first.")
    ] = "",
    target: Annotated[str, typer.Option(help="risk: the issuer that it is about.")] = "",
    annotator: Annotated[str, typer.Option(help="Opaque id of the person.")] = "local",
    confidence: Annotated[float, typer.Option(min=0, max=1, help="How sure the person is; 0: not said.")] = 0,
    comment: Annotated[str, typer.Option(help="Up to 4 KiB.")] = "",
    supersedes: Annotated[
        str, typer.Option(metavar="JUDGEMENT_ID", help="An earlier judgement that this one replaces.")
    ] = "",
    file: Annotated[Path | None, typer.Option(help=".csv or .jsonl of many judgements, through Kafka.")] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="With --file: wait for the outcomes.")] = 0,
    deadline: Deadline = 10,
    address: Address = "",
    as_json: Reply = False,
    data: Data = DEFAULT,
) -> None:
    """Say what an answer should have been, or confirm it.

    It is kept for ever, and what the next training learns from. A label that
    the model does not know is a proposed one: kept, and quarantined until
    somebody approves it.

    A file has the columns prediction_id and label and, if you like, head,
    target, annotator, confidence, seconds, comment, supersedes. Sending it twice
    counts once.

      tidemill feedback 0b9c… card_arrival
      tidemill feedback 0b9c… negative --head sentiment --target NRDH
      tidemill feedback --file corrections.csv --annotator team-7 --wait 30
    """
    if bool(file) == bool(prediction) or (prediction and not label):
        raise Problem(
            "say which prediction and what it should have been, or name a --file; see `tidemill feedback --help`"
        )
    if file:
        _send_file(file, annotator, wait, stack_with(data, "kafka", *(["postgres"] if wait else [])).settings)
        return
    address = address or stack_with(data, "feedback").address("feedback")
    request = feedback_pb2.FeedbackRequest(
        prediction_id=prediction, head=head, target=target, label=label, annotator=annotator, comment=comment,
        confidence=confidence, supersedes=supersedes,
    )  # fmt: skip
    judge(request, address, deadline, as_json)


def judge(request: feedback_pb2.FeedbackRequest, address: str, deadline: float, as_json: bool) -> None:
    """Gives one judgement by gRPC and prints what became of it."""
    call = feedback_pb2.FeedbackCall(event=event_pb2.Event(source="cli/feedback"), request=request)
    reply = invoke(feedback_contract(), address, call, deadline)
    assert isinstance(reply, feedback_pb2.FeedbackReply)
    if as_json:
        typer.echo(json_format.MessageToJson(reply, preserving_proto_field_name=True, ensure_ascii=False))
    elif reply.HasField("result"):
        Console().print(Text(_say(reply.result)), soft_wrap=True)
    else:
        Console().print(letter_panel("feedback", reply.dead_letter))
    if not reply.HasField("result"):
        raise typer.Exit(1)


def _say(result: feedback_pb2.FeedbackResult) -> str:
    change = (
        f"confirmed: {result.label}" if result.predicted == result.label else f"{result.predicted} → {result.label}"
    )
    kept = f"{result.domain} {change}  (judgement {result.judgement_id})"
    if result.status == feedback_pb2.JUDGEMENT_STATUS_PROPOSED_LABEL:
        return f"{kept}\nthe model does not know the label {result.label!r}: kept as a proposed one until somebody approves it"
    return f"{kept}\nusable for training: tidemill train {result.domain} --with-feedback"


def _send_file(file: Path, annotator: str, wait: float, settings: Settings) -> None:
    contract, console = feedback_contract(), Console()
    if file.suffix == ".txt":
        raise Problem(f"{file}: feedback files are .csv or .jsonl, with prediction_id and label")

    found = drafts(contract, Plan([str(file)]), Options(defaults={"annotator": annotator}), settings)
    with sending_bar(contract.requests, None, console) as told:
        sent = produce(settings.kafka, (record(draft, contract) for draft in found), told=told)
    send.finish(sent, settings, wait, console)
