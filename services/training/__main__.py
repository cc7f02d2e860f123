"""`python -m services.training train DOMAIN`, `python -m services.training starters`."""

import asyncio
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from shared.heads import NEEDED, SEVERAL

if TYPE_CHECKING:
    from services.training.job import Done, Wish

REFUSED = 3  # exit status: trained, and not promoted by the gate's verdict

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Retraining: labels and people's corrections in, a sealed model out, and a gate that decides whether it goes live.",
)


def _known(domain: str) -> str:
    if domain not in NEEDED:
        raise typer.BadParameter(f"{domain!r} is not one of {', '.join(NEEDED)}")
    return domain


class Method(StrEnum):
    HEAD = "head"
    LORA = "lora"
    FULL = "full"


@app.command()
def train(
    domain: Annotated[
        str, typer.Argument(metavar="DOMAIN", help=f"Whose model: one of {', '.join(NEEDED)}.", callback=_known)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled data instead of the starter set: a folder or file like data/DOMAIN, a CSV with columns text and label "
            "(not for risk, whose rows name issuers; where several may be right, labels: a|b), MedMNIST's npz (imaging)."
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="head: linear heads on frozen encoders, seconds. lora, full: fine-tune the encoder first."),
    ] = Method.HEAD,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Of lora: an encoder of its own, a little faster where nothing else shares it, instead of an adapter beside a shared one.",
        ),
    ] = False,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LANGUAGE=]SOURCE",
            help="minilm, e5, chars, a folder, or a model hub's id; for one language or for all. Repeatable.",
        ),
    ] = None,
    with_feedback: Annotated[
        bool, typer.Option("--with-feedback", help="Learn from people's judgements, too.")
    ] = False,
    approve_label: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="Let in a label that people proposed; needs --approver. Repeatable."),
    ] = None,
    per_annotator: Annotated[int, typer.Option(min=1, help="Most judgements of one person a day.")] = 500,
    approver: Annotated[str, typer.Option(help="Who answers for the promotion, and for classes that are new.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed and data give the same model.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, max=100, help="Of lora and full.")] = 4,
    samples: Annotated[int, typer.Option(min=100, help="Imaging: how many radiographs to draw.")] = 3600,
    accuracy_budget: Annotated[
        float, typer.Option(min=0, help="Texts: points of accuracy that serving may lose by computing in bf16 or int8.")
    ] = 0.5,
    recall: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Of heads declared to have several right labels: say so many of each label's rows. Default: the best F1.",
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="--no-promote: train and measure alone; needs no Postgres.")
    ] = True,
    reason: Annotated[str, typer.Option(help="Bring back a bundle that was rolled back, and say why.")] = "",
) -> None:
    """Train a model, measure it on held-out data, and promote it if the gate lets it pass.

    Exit status: 0 promoted (or --no-promote), 3 trained but refused by the gate, 1 nothing trained.
    Killed runs go on where they stopped. Figures are printed as RESULT name=value, too.

      python -m services.training train intent
      python -m services.training train intent --with-feedback --approver ada
      python -m services.training train intent --data banking77/train.csv --encoder minilm --no-promote
      python -m services.training train risk --method lora --epochs 3
    """
    from services.training.job import Wish

    if merge and method is not Method.LORA:
        raise typer.BadParameter("only what --method lora learns can be kept apart or merged", param_hint="--merge")
    if recall is not None and not SEVERAL.get(domain):
        raise typer.BadParameter(f"no head of {domain} has several right labels", param_hint="--recall")
    if approve_label and not approver:
        raise typer.BadParameter(
            "a new label needs somebody who answers for it: --approver NAME", param_hint="--approve-label"
        )
    wish = Wish(
        domain=domain,
        data=data,
        method=method.value,
        merge=merge,
        encoders=_encoders(encoder or []),
        seed=seed,
        epochs=epochs,
        with_feedback=with_feedback,
        approved_labels=approve_label or (),
        per_annotator=per_annotator,
        approver=approver,
        promote=promote,
        reason=reason,
        samples=samples,
        accuracy_budget=accuracy_budget,
        recall=recall,
        command=shlex.join(["python", "-m", "services.training", *sys.argv[1:]]),
    )
    raise typer.Exit(_guarded(lambda: _train(wish)))


@app.command()
def starters(
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Also where a model is live already.")] = False,
) -> None:
    """Train the first model of every domain that has none live and has data that come with Tidemill (minutes).

    Waits for Postgres and its schema, and says so.
    """
    from services.training.job import Wish
    from services.training.sources import has_starters

    names = [name for name in NEEDED if name == "imaging" or has_starters(name)]  # imaging draws its own
    wishes = [Wish(domain=name, seed=seed, command="python -m services.training starters") for name in names]
    raise typer.Exit(_guarded(lambda: _starters(wishes, again=again)))


def _encoders(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in given:
        language, equals, source = each.partition("=")
        found[language if equals else "*"] = source if equals else each
    return found


def _train(wish: "Wish") -> int:
    from services.training import report

    console = Console(width=None if sys.stdout.isatty() else 140)
    done = _run(wish, console)
    candidate = done.sealed.candidate
    found = report.figures(candidate, done.sealed.answers)
    report.show_figures(console, candidate, found)
    report.show_labels(console, candidate, done.sealed.answers)
    for line in report.results(wish.domain, found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    report.show_gate(console, done.report)
    return _conclude(wish, done, console)


def _starters(wishes: "Sequence[Wish]", *, again: bool) -> int:
    from services.training import promotion, report
    from shared.patience import persist
    from shared.settings import Settings

    console = Console(width=None if sys.stdout.isatty() else 140)
    status = 0
    for wish in wishes:
        live = asyncio.run(persist(partial(promotion.find_live, Settings(), wish.domain)))
        if live is not None and not again:
            console.print(f"{wish.domain}: {live.version} is live already", markup=False, highlight=False)
            continue
        began = time.monotonic()
        done = _run(wish, console)
        for line in report.headlines(done.sealed.candidate, done.sealed.answers):
            console.print(f"{wish.domain}: {line}", markup=False, highlight=False, soft_wrap=True)
        status = max(status, _conclude(wish, done, console))
        console.print(f"RESULT starters.{wish.domain}.seconds={time.monotonic() - began:.1f}", highlight=False)
    return status


def _run(wish: "Wish", console: Console) -> "Done":
    from services.training.job import run
    from services.training.progress import shown
    from shared.settings import Settings

    with shown(console, wish.domain) as advance:
        return asyncio.run(run(wish, Settings(), advance))


def _conclude(wish: "Wish", done: "Done", console: Console) -> int:
    """Says what came of it; the exit status."""
    sealed, verdict = done.sealed, done.report.verdict
    named = f"{wish.domain} {sealed.version} ({sealed.digest[:12]})"
    if done.entry is not None:
        was = f" instead of {done.live.version}" if done.live else ""
        provisional = f"; provisional: {', '.join(done.report.provisional)}" if done.report.provisional else ""
        said = f"{named} is live{was}: ledger entry {done.entry.seq}, approved by {done.entry.approver}{provisional}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        return 0
    if not wish.promote:
        console.print(
            f"{named} is in the store, not live (--no-promote); the gate says: {verdict}",
            highlight=False,
            soft_wrap=True,
        )
        return 0
    stays = f"{done.live.version} stays live" if done.live else "nothing is live"
    console.print(f"{named} is not promoted ({verdict}); {stays}. What is missing:", highlight=False, soft_wrap=True)
    for criterion in done.report.criteria:
        if criterion.verdict != "pass":
            console.print(f"  {criterion.name}: {criterion.detail}", markup=False, highlight=False, soft_wrap=True)
    return REFUSED


def _guarded(work: Callable[[], int]) -> int:
    """Runs it; what a person can do something about is one line on stderr, and status 1."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from services.training.examples import DataError
    from shared.bundle import BundleError
    from shared.errors import Unavailable
    from shared.ledger import Broken, Refused
    from shared.settings import Settings, explain

    try:
        return work()
    except Unavailable as error:
        said = f"{error}; start it (`tidemill up`), set TIDEMILL_POSTGRES, or train with --no-promote"
    except (DataError, BundleError, Broken, Refused) as error:
        said = str(error)
    except SettingsError as error:  # no JSON where JSON is wanted; it names the field
        said = f"{error}: its TIDEMILL_ variable is to be JSON"
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        said = explain(error)
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(said)}", highlight=False)
    return 1


def main() -> None:
    # Read when torch is loaded. Threads that wait by spinning take the cores that the slower one needs, beside a running stack above all.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    app()


if __name__ == "__main__":
    main()
