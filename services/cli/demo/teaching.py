"""People correct, the model learns, the answer changes: acts 4 to 6."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from protos import intent_pb2
from services.cli.demo import lesson, retraining
from services.cli.demo.lesson import Lesson
from services.cli.demo.stage import act
from services.cli.problem import Problem
from services.cli.stack import Stack

Answers = Sequence[intent_pb2.IntentResult]


def teach(stack: Stack, console: Console, source: str) -> dict[str, object]:
    """Corrections, retraining, the swap, and the same questions before and after; returns what the summary says."""
    taught = lesson.lockers()
    act(console, 4, "People correct a confusion")
    old = correct(stack, console, taught, source)
    act(console, 5, "Training with the corrections, and the gate")
    pid, began = retraining.inference_pid(stack), time.monotonic()
    retraining.retrain(stack, console)
    trained = time.monotonic() - began
    entry = retraining.live(stack)
    console.print(retraining.gate_table(entry))
    act(console, 6, "The new model answers")
    waited = retraining.await_swap(stack, entry, taught.asked[0])
    new = [lesson.question(stack, text) for text in taught.asked]
    if retraining.inference_pid(stack) != pid:
        raise Problem(f"inference was process {pid}, and is not any more: the model was not swapped in place")
    console.print(
        f"{entry.version} answers, {waited:.1f} s after its promotion at most; inference is process {pid}, as before"
    )
    console.print(_change(taught, old, new))
    return {
        "model_before": old[0].answer.model.version,
        "model_after": entry.version,
        "answer_before": lesson.label(old[0]),
        "answer_after": lesson.label(new[0]),
        "training_seconds": round(trained, 1),
        "swap_seconds": round(waited, 1),
    }


def correct(stack: Stack, console: Console, taught: Lesson, source: str) -> Answers:
    """Streams what is to be corrected and the corrections; returns what the model said to the questions before."""
    retraining.unlearn(stack, console, taught.asked)
    old = [lesson.question(stack, text) for text in taught.asked]
    console.print(f"“{taught.asked[0]}”: the model says {lesson.said(old[0])}, people say {lesson.LABEL}.")
    if lesson.LABEL not in {score.label for score in old[0].ranking}:
        console.print(
            "The model does not know that label: it stays a proposal, and quarantined, until somebody approves it."
        )
    if before := lesson.known(stack):
        console.print(
            f"Earlier runs have left {before} such corrections, which are kept for ever; some more are added."
        )
    events = lesson.stream(stack, lesson.portion(taught, before, source), source)
    tally = lesson.correct(stack, events, f"{source}/people")
    console.print(
        f"{len(events)} more such events were streamed and corrected by people: {tally.results} judgements stored."
    )
    console.print(
        "The questions themselves are never corrected: what changes their answers is what the model has learned."
    )
    return old


def _change(taught: Lesson, old: Answers, new: Answers) -> Table:
    table = Table("the same question, asked anew", "before", "after", box=None, pad_edge=False)
    for text, before, after in zip(taught.asked, old, new, strict=True):
        style = "green" if lesson.label(after) == lesson.LABEL else "red"
        table.add_row(text, lesson.said(before), f"[{style}]{lesson.said(after)}[/]")
    return table
