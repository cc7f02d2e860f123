"""Results and dead letters, read back from real topics."""

import dataclasses
import json
from contextlib import closing

import pytest
from kafka import KafkaProducer

from protos import event_pb2, intent_pb2
from services.cli.answers import entry
from services.cli.answers.follow import Follower, follow
from services.cli.contract import contracts
from services.cli.problem import Problem
from shared.event import JSON, PROTOBUF
from shared.topic import cloudevents

WHY = "most like card_lost 93%"
RESULT = intent_pb2.IntentResult(answer=event_pb2.Answer(why=WHY), intent="card_lost", confidence=0.93)


@pytest.fixture
def contract(kafka):
    made = dataclasses.replace(contracts()["intent"], name=kafka.prefix)
    kafka.create(made.results, made.dead_letters)
    return made


def publish(kafka, topic, value, id_, content_type=PROTOBUF, extra=()):
    headers = cloudevents.headers("tidemill/intent", id_, "tidemill.intent.v1.IntentResult", content_type)
    with KafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        producer.send(topic, value, headers=[*headers, *extra]).get(30)


def entries(kafka, contract, *topics, **how):
    with closing(Follower(kafka.bootstrap, topics, from_start=True)) as follower:
        return [entry.read(record, contract) for record in follow(follower, **how)]


def test_a_result_is_read_in_either_encoding_and_shown_once(kafka, contract):
    """Time, event, decision, confidence and why are on the line; a repeat of the same outcome is dropped."""
    event = [("ce_eventsource", b"shop"), ("ce_eventid", b"e-1")]
    for _ in range(2):
        publish(kafka, contract.results, RESULT.SerializeToString(), "p-1", extra=event)
    publish(kafka, contract.results, json.dumps({"intent": "card_lost", "confidence": 0.5}).encode(), "p-2", JSON)
    first, second = entries(kafka, contract, contract.results, idle=3)
    assert (first.source, first.id, first.summary.decision, first.summary.confidence) == (
        "shop",
        "e-1",
        "card_lost",
        0.93,
    )
    assert second.summary.confidence == 0.5
    assert entry.as_line(first).split(maxsplit=3)[3].startswith("e-1")
    assert entry.as_line(first).endswith(WHY)
    assert entry.as_json(first)["result"]["intent"] == "card_lost"


def test_a_dead_letter_says_its_reason(kafka, contract):
    """Reason and detail come from the headers; the original bytes are not printed."""
    extra = [("dlq.reason", b"TEXT_EMPTY"), ("__streams.errors.message", b"text must hold a character")]
    publish(kafka, contract.dead_letters, b"secret words", "e-2", extra=extra)
    (found,) = entries(kafka, contract, contract.dead_letters, limit=1)
    shown = entry.as_json(found)
    assert (shown["kind"], shown["reason"], shown["detail"]) == (
        "dead_letter",
        "TEXT_EMPTY",
        "text must hold a character",
    )
    assert "secret" not in json.dumps(shown) + entry.as_line(found)


def test_what_cannot_be_read_is_shown_as_such(kafka, contract):
    """A value of another version does not end the command."""
    publish(kafka, contract.results, b"\xff\xff\xff", "p-3")
    (found,) = entries(kafka, contract, contract.results, limit=1)
    assert found.summary.decision == "UNREADABLE"


def test_a_missing_topic_is_named(kafka):
    """The message says which topic is missing and which command makes it."""
    with pytest.raises(Problem, match=r"there is no topic nope.*tidemill up"):
        Follower(kafka.bootstrap, ["nope"], from_start=False)
