"""Events on a real broker: named, acknowledged, counted, and the same when sent again."""

import dataclasses
import io
import json

import pytest
from kafka import KafkaConsumer, TopicPartition
from rich.console import Console

from services.cli.contract import contracts
from services.cli.problem import Problem
from services.cli.send import deliver
from services.cli.sending.draft import Draft, record
from services.cli.sending.intake import Options
from services.cli.sending.plan import Plan, drafts
from services.cli.sending.produce import produce
from shared.event import JSON
from shared.settings import Settings
from shared.topic import cloudevents


def contract_of(kafka, name="intent"):
    """The domain's contract, on topics of this test's own."""
    contract = dataclasses.replace(contracts()[name], name=kafka.prefix)
    kafka.create(contract.requests, partitions=2)
    return contract


def on_topic(kafka, topic):
    """Every record of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), []
        while any(consumer.position(place) < ends[place] for place in places):
            found += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
        return found
    finally:
        consumer.close()


def run(kafka, contract, plan, options=None):
    settings = Settings(kafka=kafka.bootstrap)
    return deliver(contract, plan, options or Options(), settings, 0, Console(file=io.StringIO()))


def test_every_line_of_a_file_is_acknowledged_and_arrives_as_the_services_read_it(kafka, tmp_path):
    """What `cloudevents.arrive` reads from the topic is the event that the file's line said, with key and trace context."""
    (words := tmp_path / "words.csv").write_text("text,conversation\nlost my card,c-1\nwhere is it,c-2\n")
    contract = contract_of(kafka)
    sent = run(kafka, contract, Plan(files=[str(words)]), Options(caller="shop"))
    assert (sent.sent, sent.acknowledged, sent.failures.total()) == (2, 2, 0)
    records = on_topic(kafka, contract.requests)
    assert {f"{r.topic}:{r.partition}:{r.offset}" for r in records} == set(sent.places)
    for found in records:
        arrival = cloudevents.arrive(
            contract.name,
            found.topic,
            found.partition,
            found.offset,
            None,
            found.key,
            found.value,
            tuple(found.headers),
        )
        request = contract.request.FromString(arrival.payload)
        assert arrival.flaw is None
        assert arrival.key == sent.places[arrival.place]
        assert (arrival.caller, arrival.subject) == ("shop", request.conversation)
        assert arrival.record_key == request.conversation.encode()
        assert arrival.time is not None
        assert dict(found.headers)["traceparent"].startswith(b"00-")


def test_sending_the_same_file_twice_makes_repeats_not_new_events(kafka, tmp_path):
    """Both sendings name the same two events."""
    (words := tmp_path / "words.txt").write_text("one\ntwo\n")
    contract = contract_of(kafka)
    first, second = (run(kafka, contract, Plan(files=[str(words)])) for _ in range(2))
    assert set(first.places.values()) == set(second.places.values())
    assert len(on_topic(kafka, contract.requests)) == 4


def test_made_up_events_are_the_same_for_the_same_seed(kafka):
    """`--generate` draws from the shipped sentences; count and seed decide, and JSON carries the same request as protobuf."""
    contract = contract_of(kafka, "risk")
    generated = dataclasses.replace(contract, name="risk")
    plan = Plan(generated=20, seed=7)
    once, again = (list(drafts(generated, plan, Options(), Settings())) for _ in range(2))
    assert [draft.id for draft in once] == [draft.id for draft in again]
    assert once[0].id != next(drafts(generated, Plan(generated=1, seed=8), Options(), Settings())).id
    produce(kafka.bootstrap, [record(dataclasses.replace(draft, content_type=JSON), contract) for draft in once])
    sent = {json.loads(found.value)["headline"] for found in on_topic(kafka, contract.requests)}
    assert sent == {draft.request.headline for draft in once}


def test_a_missing_topic_is_said_and_nothing_counts_as_sent(kafka):
    """The producer does not create topics by accident; the message names the topic."""
    contract = dataclasses.replace(contracts()["intent"], name=f"{kafka.prefix}none")
    with pytest.raises(Problem, match=contract.requests):
        produce(kafka.bootstrap, [record(Draft("s", "1", b"x"), contract)], patience=2)


def test_no_broker_is_said_with_what_to_do():
    """The message names the address and the command that shows what runs."""
    with pytest.raises(Problem, match=r"no Kafka broker answers \(127.0.0.1:1: .*tidemill status"):
        produce("127.0.0.1:1", [])


def test_nothing_named_and_too_much_named_are_refused():
    """Files or a number of made-up events, one of the two."""
    for plan in (Plan(), Plan(files=["a.txt"], generated=3)):
        with pytest.raises(Problem, match="--generate N"):
            list(drafts(contracts()["intent"], plan, Options(), Settings()))


def test_a_file_of_unknown_kind_or_that_is_not_there_is_said(tmp_path):
    """The message lists what can be read, or what the system said of the file."""
    (odd := tmp_path / "words.xlsx").write_text("?")
    for name, said in ((odd, r"\.txt, \.csv, \.jsonl"), (tmp_path / "gone.txt", "No such file")):
        with pytest.raises(Problem, match=said):
            list(drafts(contracts()["intent"], Plan(files=[str(name)]), Options(), Settings()))
