"""From corrections to a better model: training, the gate, and the swap while everything runs."""

import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli import state
from services.cli.demo.lesson import DOMAIN, LABEL, label, question
from services.cli.models import ask
from services.cli.problem import Problem
from services.cli.stack import Stack
from services.cli.train import training
from shared.ledger import Entry

APPROVER = "demo"
_SWAP_WITHIN = 90.0  # seconds
_FRAMES = tuple("┏┃┡│├└╭╰")  # what a line of a table begins with
_REFUSED = 3  # exit status of a training whose model the gate did not let pass


def live(stack: Stack) -> Entry:
    """What the ledger says is live for the demo's domain."""
    entry = ask(stack.settings, lambda ledger: ledger.live(DOMAIN))
    if entry is None:
        raise Problem(f"no {DOMAIN} model is live: `tidemill up` trains the starters")
    return entry


def unlearn(stack: Stack, console: Console, asked: Sequence[str]) -> None:
    """Rolls back what an earlier run of the demo taught, so that there is something to teach; another's model is left alone."""
    now = live(stack)
    if now.approver != APPROVER or any(label(question(stack, text)) != LABEL for text in asked):
        return
    reason = "the demo forgets what an earlier run of it taught, to teach it again"
    back = ask(stack.settings, lambda ledger: ledger.rollback(DOMAIN, approver=APPROVER, reason=reason))
    console.print(
        f"an earlier run of this demo has taught {now.version} the answer already: rolled back to {back.version}"
        f" (ledger entry {back.seq}), without a restart"
    )
    await_swap(stack, back, asked[0])


def retrain(stack: Stack, console: Console) -> None:
    """Trains with people's corrections, its words on screen; the gate decides whether the new version goes live.

    Raises:
        Problem: it failed, or the gate refused.
    """
    words = ("train", DOMAIN, "--with-feedback", "--approve-label", LABEL, "--approver", APPROVER)
    with training(stack, *words, stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if not _is_report(line):
                console.print(Text(f"  {line.rstrip()}", "dim"), soft_wrap=True)
    if job.returncode:
        why = "the gate refused the new model" if job.returncode == _REFUSED else "training failed"
        raise Problem(f"{why} (status {job.returncode}); above it says what is missing")


def _is_report(line: str) -> bool:
    """Tables and figures, which are wider than most terminals; the gate's report is shown from the ledger."""
    return line.startswith(("RESULT ", *_FRAMES)) or line.strip() == "gate" or "held-out test part" in line


def gate_table(entry: Entry) -> Table:
    """The gate's report on a promoted version, as the ledger keeps it."""
    table = Table("the gate asked", "verdict", "and found", box=None, pad_edge=False)
    for criterion in entry.evidence.get("gate", {}).get("criteria", ()):
        style = "green" if criterion["verdict"] == "pass" else "red"
        table.add_row(criterion["name"], f"[{style}]{criterion['verdict']}[/]", criterion["detail"])
    return table


def await_swap(stack: Stack, entry: Entry, text: str) -> float:
    """Asks until the entry's version answers; returns how long after its promotion the first such answer was seen, in seconds.

    Raises:
        Problem: it does not answer in time.
    """
    began = time.monotonic()
    while (answer := question(stack, text).answer).model.version != entry.version:
        if time.monotonic() - began > _SWAP_WITHIN:
            raise Problem(f"{DOMAIN} {entry.version} is live in the ledger, and {answer.model.version} still answers")
        time.sleep(0.2)
    return (answer.answered_at.ToDatetime(UTC) - datetime.fromisoformat(entry.recorded_at)).total_seconds()


def inference_pid(stack: Stack) -> int | None:
    """Which process answers, to show that it is still the same; None where it is not this supervisor's."""
    pid: int | None = state.read(stack.data).get("processes", {}).get("inference", {}).get("pid")
    return pid
