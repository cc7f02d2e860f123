"""`tidemill tail`."""

import json
import signal
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from services.cli.answers import entry
from services.cli.answers.follow import Follower, follow
from services.cli.argument import contract_of
from services.cli.contract import contracts
from services.cli.contract import feedback as feedback_contract
from services.cli.needs import stack_with
from services.cli.stack import DEFAULT, Data


def tail(
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="DOMAIN...", help="Domains, or feedback; all, if none is named.")
    ] = None,
    dead_letters: Annotated[bool, typer.Option("--dead-letters", help="Only dead letters.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with the whole result.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Everything the topics still hold, then what comes.")
    ] = False,
    number: Annotated[int, typer.Option("-n", min=0, metavar="N", help="End after N.")] = 0,
    idle: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="End when nothing has come for so long.")] = 0,
    data: Data = DEFAULT,
) -> None:
    """Show results and dead letters as they are published.

    One line each: when, which event, what was decided, how sure, why. Looking
    changes nothing: no consumer group, no offsets. Repeats of one outcome
    (topics deliver at least once) are shown once.

      tidemill tail
      tidemill tail intent risk
      tidemill tail --dead-letters --from-start --idle 2
      tidemill tail imaging --json -n 10 > results.jsonl
    """
    known = {**contracts(), "feedback": feedback_contract()}
    chosen = [known.get(name) or contract_of(name) for name in domains or known]
    topics = [topic for c in chosen for topic in ((c.dead_letters,) if dead_letters else (c.results, c.dead_letters))]
    by_topic = {topic: c for c in chosen for topic in (c.results, c.dead_letters)}
    stack, console = stack_with(data, "kafka"), Console()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with closing(Follower(stack.settings.kafka, topics, from_start)) as follower:
            for record in follow(follower, number, idle):
                found = entry.read(record, by_topic[record.topic])
                if as_json:
                    typer.echo(json.dumps(entry.as_json(found), ensure_ascii=False))
                else:
                    style = "" if found.result is not None else "red"
                    console.print(Text(entry.as_line(found), style), soft_wrap=True)
    except KeyboardInterrupt:  # how a person ends it
        return
