"""What became of an arrival, read back."""

from typing import Any

from protos import event_pb2, intent_pb2
from shared.store.outcome import Settled
from tests.echo import echo

ECHO = echo("intent")


def letter(settled: Any) -> event_pb2.DeadLetter:
    assert isinstance(settled, Settled)
    assert settled.outcome.kind == "dead_letter"
    return event_pb2.DeadLetter.FromString(settled.outcome.body)


def result(settled: Any) -> intent_pb2.IntentResult:
    assert isinstance(settled, Settled)
    assert settled.outcome.kind == "result"
    return intent_pb2.IntentResult.FromString(settled.outcome.body)
