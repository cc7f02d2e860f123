"""`tidemill send`."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from services.cli.argument import DomainName, contract_of, head_of
from services.cli.contract import Contract
from services.cli.needs import stack_with
from services.cli.problem import Problem
from services.cli.sending.draft import record
from services.cli.sending.intake import KINDS, Options
from services.cli.sending.plan import Plan, drafts
from services.cli.sending.produce import Sent, produce
from services.cli.sending.progress import sending_bar
from services.cli.sending.settled import Tally, await_settled
from services.cli.stack import DEFAULT, Data
from shared.event import JSON, PROTOBUF
from shared.settings import Settings

_FORMATS = {"protobuf": PROTOBUF, "json": JSON}


def send(
    domain: DomainName,
    files: Annotated[list[str] | None, typer.Argument(help="Files or folders; - is standard input.")] = None,
    generate: Annotated[int, typer.Option(min=0, metavar="N", help="Make up N realistic events instead.")] = 0,
    seed: Annotated[int, typer.Option(help="Of --generate: the same seed makes the same events.")] = 0,
    rate: Annotated[float, typer.Option(min=0, metavar="N", help="Events a second at most.")] = 0,
    count: Annotated[int, typer.Option(min=0, metavar="N", help="Only the first N.")] = 0,
    source: Annotated[str, typer.Option(help='CloudEvents source, e.g. "shop/eu".', show_default="cli/FILE")] = "",
    caller: Annotated[str, typer.Option(help="The tenant that pays and is rate-limited.")] = "",
    language: Annotated[str, typer.Option(help="BCP 47, where a line does not say; else it is detected.")] = "",
    explain: Annotated[
        str, typer.Option(metavar="HEAD", help="Have this of the answers explained: e.g. intent. Costs throughput.")
    ] = "",
    column: Annotated[str, typer.Option(help="What holds the text, in .csv and .jsonl.")] = "",
    kind: Annotated[str, typer.Option("--as", help=f"Read files as one of: {', '.join(KINDS)}.")] = "",
    wire: Annotated[str, typer.Option("--format", help=f"On the wire: {' or '.join(_FORMATS)}.")] = "protobuf",
    claim: Annotated[
        bool, typer.Option("--claim", help="Images by claim from the blob store, also small ones.")
    ] = False,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out what the request does not have.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Wait for the outcomes, and count them.")] = 0,
    data: Data = DEFAULT,
) -> None:
    """Send events to a domain's stream.

    Text: .txt has one a line; .csv has the column `text` (intent) or `headline`
    (risk), or --column says which; .jsonl has the request in JSON (or just a
    `text`), with the event's own id, source, caller, subject, time beside it if
    you like; --ignore-unknown leaves out labels and the like.
    Images: PNG, JPEG, DICOM, or folders of them. Up to 1 MB they travel inside
    the event, larger ones through the blob store.

    An event is named by its source and id. The id is the line's number and its
    text's digest (an image's: its digest; or a row's own id), so that sending a
    file twice makes [bold]repeats, not new events[/]: what failed half-way can be sent
    again as it is. With another --source they are new events.

    Exit status 1 if Kafka has not acknowledged every event or, with --wait, not
    every event has an outcome in time.

      tidemill send intent questions.txt --wait 60
      tidemill send risk news.csv --column title --rate 50
      tidemill send imaging scans/ --source ward-3
      echo "where is my parcel?" | tidemill send intent -
      tidemill send intent --generate 1000 --seed 7
    """
    if kind not in ("", *KINDS) or wire not in _FORMATS:
        raise typer.BadParameter(f"--as is one of {', '.join(KINDS)}; --format one of {', '.join(_FORMATS)}")
    contract, console = contract_of(domain), Console()
    explain = head_of(contract, explain, "--explain") if explain else ""
    settings = stack_with(data, "kafka", *(["postgres"] if wait else [])).settings
    plan = Plan(files or (), generate, seed, kind, claim, count)
    defaults = {"language": language} if language else {}
    options = Options(source, caller, defaults, column, _FORMATS[wire], ignore_unknown)
    sent = deliver(contract, plan, options, settings, rate, console, explain)
    finish(sent, settings, wait, console)


def deliver(
    contract: Contract,
    plan: Plan,
    options: Options,
    settings: Settings,
    rate: float,
    console: Console,
    explain: str = "",
) -> Sent:
    """Sends the plan's events and returns what became of them."""
    with sending_bar(contract.requests, plan.count or plan.generated or None, console) as told:
        records = (record(draft, contract, explain) for draft in drafts(contract, plan, options, settings))
        return produce(settings.kafka, records, rate, told)


def finish(sent: Sent, settings: Settings, wait: float, console: Console) -> None:
    """Waits for the outcomes if asked to, reports, and ends with status 1 unless all went well."""
    if not sent.sent:
        raise Problem("there was nothing to send: no line with a text in it")
    tally = _wait(settings, sent, wait, console) if wait else None
    _report(sent, tally, console)
    if sent.acknowledged < sent.sent or (tally and tally.pending):
        raise typer.Exit(1)


def _wait(settings: Settings, sent: Sent, within: float, console: Console) -> Tally:
    with console.status(f"waiting for {sent.acknowledged:,} outcomes") as status:

        def told(tally: Tally) -> None:
            status.update(f"waiting for {tally.pending:,} of {sent.acknowledged:,} outcomes")

        return asyncio.run(await_settled(settings.postgres, sent.places, within, told))


def _report(sent: Sent, tally: Tally | None, console: Console) -> None:
    """What a person reads, then one line that a program reads."""
    rate = sent.acknowledged / sent.seconds if sent.seconds else 0
    console.print(f"{sent.acknowledged:,} of {sent.sent:,} events acknowledged in {sent.seconds:.1f} s ({rate:,.0f}/s)")
    for why, number in sent.failures.most_common():
        console.print(f"  [red]{number:,} not taken:[/] {why}", highlight=False)
    values = {"sent": sent.sent, "acknowledged": sent.acknowledged}
    if tally:
        console.print(
            f"{tally.results:,} results, {tally.repeats:,} repeats of settled events, {tally.pending:,} without an outcome yet"
        )
        for reason, number in tally.dead_letters.most_common():
            console.print(f"  [red]{number:,} dead letters:[/] {reason}", highlight=False)
        values |= {"results": tally.results, "repeats": tally.repeats, "pending": tally.pending}
        values |= {"dead_letters": tally.dead_letters.total()}
    console.print(
        "RESULT " + " ".join(f"{name}={value}" for name, value in values.items()), highlight=False, soft_wrap=True
    )
