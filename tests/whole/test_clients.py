"""Other people's clients: kafka-python sends JSON, tritonclient asks inference."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from bench.local import Local
from protos import intent_pb2
from shared.event import Key
from tests.whole.sending import ask, new_source, outcomes

TEXTS = ["Where is my parcel?", "I want my money back for these shoes", "How do I reset my password?"]


async def test_kafka_python_sends_json_and_reads_json(stack: Local) -> None:
    """A producer that knows nothing of Tidemill sends JSON with CloudEvents headers, and finds a JSON result on the results topic."""
    source, kafka = new_source(), stack.address("kafka")
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"json-1"),
        ("ce_source", source.encode()),
        ("ce_type", b"com.shop.message"),
        ("content-type", b"application/json; charset=utf-8"),
    ]
    producer = KafkaProducer(bootstrap_servers=kafka)
    producer.send("intent.requests.v1", json.dumps({"text": TEXTS[0], "language": "en"}).encode(), headers=headers)
    producer.close()
    key = Key("intent", source, "json-1")
    row = (await outcomes(stack, [key]))[key]
    result = await asyncio.to_thread(find_result, kafka, b"json-1", source.encode())
    assert json.loads(result)["intent"] == intent_pb2.IntentResult.FromString(row["body"]).intent


def find_result(kafka: str, name: bytes, source: bytes) -> bytes:
    """The value of the result record for this event."""
    consumer = KafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=60_000)
    try:
        topic = "intent.results.v1"
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        consumer.seek_to_beginning()
        for record in consumer:
            headers = dict(record.headers)
            if (headers.get("ce_eventid"), headers.get("ce_eventsource")) == (name, source):
                return bytes(record.value)
        raise AssertionError("no result on the topic")
    finally:
        consumer.close()


async def test_tritonclient_gets_the_right_answers(stack: Local) -> None:
    """Synchronous and asynchronous, it is told the distribution that the intent service tells its own callers."""
    program = Path(__file__).with_name("triton.py")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(program), stack.address("inference")],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    source = new_source()
    for number, text in enumerate(TEXTS):
        request = intent_pb2.IntentRequest(text=text, language="en")
        ours = (await ask(stack, Key("intent", source, f"{number}"), request)).result
        expected = sorted((score.probability for score in ours.ranking), reverse=True)
        for client in ("sync", "aio"):
            assert said[client]["version"] == ours.answer.model.version
            assert sorted(said[client]["intent"][number], reverse=True) == pytest.approx(expected, abs=1e-4)
