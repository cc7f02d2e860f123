"""Judgements from a file go through Kafka, each named by what it says."""

import uuid

import pytest
from kafka import KafkaConsumer, TopicPartition
from typer.testing import CliRunner

from protos import feedback_pb2
from services.cli import topics
from services.cli.__main__ import app
from services.cli.problem import Problem
from shared.settings import Settings


@pytest.fixture
def run(kafka, tmp_path):
    """`tidemill feedback ...` with a broker that has the topics."""
    topics.provision(Settings(kafka=kafka.bootstrap), topics.topics())
    environment = {"TIDEMILL_KAFKA": kafka.bootstrap}
    return lambda *words: CliRunner().invoke(app, ["feedback", "--data", str(tmp_path), *words], env=environment)


def said(kafka, source):
    """(key, id, judgement) of every record of one source on the feedback topic."""
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    try:
        places = [TopicPartition("feedback.v1", number) for number in consumer.partitions_for_topic("feedback.v1")]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), []
        while any(consumer.position(place) < ends[place] for place in places):
            found += [record for batch in consumer.poll(timeout_ms=500).values() for record in batch]
    finally:
        consumer.close()
    own = [(dict(record.headers), record) for record in found]
    return [
        (record.key, headers["ce_id"], feedback_pb2.FeedbackRequest.FromString(record.value))
        for headers, record in own
        if headers["ce_source"] == source.encode()
    ]


def test_a_table_of_corrections_is_sent_and_sending_it_twice_names_the_same_events(run, kafka, tmp_path):
    """Columns fill the judgement's fields, numbers too; the annotator of the command fills in where a row has none."""
    file = tmp_path / f"{uuid.uuid4().hex}.csv"
    file.write_text("prediction_id,label,confidence,annotator\np-1,card_lost,0.9,\np-2,refund,,ada\n")
    for _ in range(2):
        ran = run("--file", str(file), "--annotator", "team-7")
        assert ran.exit_code == 0, ran.output
        assert "RESULT sent=2 acknowledged=2" in ran.output
    found = said(kafka, f"cli/{file.name}")
    assert len(found) == 4
    assert len({id_ for _, id_, _ in found}) == 2
    by_prediction = {judgement.prediction_id: (key, judgement) for key, _, judgement in found}
    key, first = by_prediction["p-1"]
    assert (key, first.label, first.confidence, first.annotator) == (b"p-1", "card_lost", 0.9, "team-7")
    assert by_prediction["p-2"][1].annotator == "ada"


@pytest.mark.parametrize("words", [(), ("p-1",), ("p-1", "a", "--file", "x.csv")])
def test_half_a_judgement_is_refused(run, words):
    """A prediction and a label, or a file; the message says so."""
    ran = run(*words)
    assert isinstance(ran.exception, Problem)
    assert "say which prediction" in str(ran.exception)


def test_a_table_without_labels_is_refused(run, tmp_path):
    """A text file cannot be one, and a table needs the column that names the prediction."""
    (words := tmp_path / "words.txt").write_text("p-1 card_lost\n")
    (table := tmp_path / "table.csv").write_text("id,label\n1,a\n")
    for file, told in ((words, ".csv or .jsonl"), (table, "no column 'prediction_id'")):
        ran = run("--file", str(file))
        assert isinstance(ran.exception, Problem)
        assert told in str(ran.exception)
