"""Questions by gRPC: the answer as a panel, and failures in words."""

import io
from concurrent import futures
from contextlib import contextmanager

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from rich.console import Console
from typer.testing import CliRunner

from protos import event_pb2, imaging_pb2, intent_pb2, intent_pb2_grpc, risk_pb2
from services.cli.__main__ import app
from services.cli.answers.panel import answer_panel
from services.cli.problem import Problem
from tests.listening import listening


def answer(call):
    """What this small service answers: a result, a dead letter or a refusal, as the text asks for."""
    text = call.request.text
    if text == "refuse":
        bad = error_details_pb2.BadRequest.FieldViolation(field="text", description="too odd")
        details = []
        for message in (
            error_details_pb2.BadRequest(field_violations=[bad]),
            error_details_pb2.ErrorInfo(reason="ODD"),
        ):
            packed = any_pb2.Any()
            packed.Pack(message)
            details.append(packed)
        return status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="cannot be judged", details=details)
    event = call.event
    if text == "die":
        letter = event_pb2.DeadLetter(
            event=event, reason="TEXT_EMPTY", detail="text must hold a character", field="text"
        )
        return intent_pb2.IntentReply(event=event, dead_letter=letter)
    result = intent_pb2.IntentResult(
        answer=event_pb2.Answer(event=event, prediction_id="p-1", why=f"language {call.request.language}"),
        intent="card_lost",
        confidence=0.93,
        ranking=[event_pb2.Score(label="card_lost", probability=0.93)],
    )
    return intent_pb2.IntentReply(event=event, result=result, known=text == "again")


class Small(intent_pb2_grpc.IntentServiceServicer):
    def Classify(self, request, context):  # noqa: N802 - gRPC's name
        made = answer(request)
        if isinstance(made, status_pb2.Status):
            context.abort_with_status(rpc_status.to_status(made))
        return made


@contextmanager
def serving():
    server = grpc.server(futures.ThreadPoolExecutor(2))
    intent_pb2_grpc.add_IntentServiceServicer_to_server(Small(), server)
    with listening(server) as address:
        yield address


@pytest.fixture(scope="module")
def address():
    with serving() as where:
        yield where


def run(*words):
    return CliRunner().invoke(app, ["ask", *words], env={"COLUMNS": "200"})


def test_an_answer_says_how_sure_why_and_how_to_correct_it(address):
    """Decision, probability, reason, prediction id, and the exact command that gives feedback."""
    ran = run("intent", "lost it", "--language", "en", "--address", address)
    assert ran.exit_code == 0, ran.output
    for words in ("card_lost", "93.0%", "why: language en", "tidemill feedback p-1 LABEL"):
        assert words in ran.output


def test_a_stored_answer_is_said_to_be_one(address):
    """Asking about an event that was settled before shows the stored answer, and says so."""
    assert "had been settled before" in run("intent", "again", "--address", address).output


def test_a_dead_letter_is_shown_and_ends_with_status_1(address):
    """Reason, field and detail."""
    ran = run("intent", "die", "--address", address)
    assert ran.exit_code == 1
    assert "TEXT_EMPTY (field text)" in ran.output
    assert "text must hold a character" in ran.output


def test_a_refused_call_is_told_with_its_fields(address):
    """Status, message, reason and each field violation are in the message."""
    ran = run("intent", "refuse", "--address", address)
    assert isinstance(ran.exception, Problem)
    for words in ("INVALID_ARGUMENT: cannot be judged", "ODD", "field text: too odd"):
        assert words in str(ran.exception)


def test_nobody_there_is_told_with_what_to_do():
    """UNAVAILABLE comes with the command that shows what runs."""
    ran = run("intent", "hello", "--address", "127.0.0.1:1", "--deadline", "2")
    assert isinstance(ran.exception, Problem)
    assert "UNAVAILABLE" in str(ran.exception)
    assert "tidemill status" in str(ran.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope", "hello"), "there is no domain 'nope'"),
        (("intent", "hello", "--issuer", "X"), "a question to intent has no issuers"),
        (("intent",), "what to ask?"),
        (("intent", "--issuer-window", "X"), "--issuer-window is a question to risk"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(words, said):
    """Before anything is called."""
    ran = run(*words, "--address", "127.0.0.1:1")
    assert isinstance(ran.exception, Problem)
    assert said in str(ran.exception)


def test_without_a_stack_the_person_is_told_to_start_one(tmp_path):
    """The message names the folder that was looked at and the command."""
    ran = run("intent", "hello", "--data", str(tmp_path))
    assert isinstance(ran.exception, Problem)
    assert f"no stack at {tmp_path}: run `tidemill up`" in str(ran.exception)


def test_every_domain_has_its_own_panel():
    """A headline's issuers and an image's decision, facts and notice are shown."""
    score = event_pb2.Score(label="negative", probability=0.8)
    issuer = risk_pb2.IssuerRisk(
        issuer="NRDH", name="Nordhavn", sentiment="negative", sentiment_ranking=[score], risk=64
    )
    image = imaging_pb2.ImagingResult(
        finding="effusion", confidence=0.7, decision=imaging_pb2.DECISION_REFER, notice="Research use",
        image=imaging_pb2.ImageFacts(format="PNG", width=8, height=9),
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=120)
    console.print(answer_panel("risk", risk_pb2.RiskResult(issuers=[issuer]), known=False))
    console.print(answer_panel("imaging", image, known=False))
    shown = console.file.getvalue()
    for words in ("Nordhavn negative, risk 64", "negative 80%", "refer: effusion", "PNG 8×9", "Research use"):
        assert words in shown
