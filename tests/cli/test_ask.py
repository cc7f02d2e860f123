"""Questions by gRPC: the answer as a panel, and failures in words."""

import io
import json
import re
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
from services.cli.answers.explained import explain, why_missing
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
    if call.explain and text != "plain":
        result.answer.model.name = "intent"
        result.answer.explanations.append(explanation(call.explain, text))
    return intent_pb2.IntentReply(event=event, result=result, known=text == "again")


def explanation(head, text):
    """Every stretch without space is a word; the first speaks for, the next against, and so on."""
    found = event_pb2.Explanation(head=head, label="card_lost", rest=0.5, left_out=text.count("~"))
    for number, word in enumerate(re.finditer(r"\S+", text)):
        found.words.add(start=word.start(), end=word.end(), score=(1, -0.25)[number % 2])
    found.lead = found.rest + sum(word.score for word in found.words)
    return found


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


def test_an_explanation_says_which_words_spoke_for_it_and_which_against(address):
    """Below the answer as ever: the lead as a sum, the text, words each way with their scores; readable without colour."""
    ran = run("intent", "lost it lost ~", "--explain", "--address", address)
    assert ran.exit_code == 0, ran.output
    assert "\x1b" not in ran.output
    for words in (
        "card_lost  93.0%",
        "intent: card_lost  lead +2.00 = words for +2.00, against -0.50, rest +0.50",
        "  lost it lost ~\n",
        "for     lost (2×) +2.00\n",
        "against it -0.25 · ~ -0.25\n",
        "  1 weaker word not told apart",
        "to correct it:",
    ):
        assert words in ran.output


def test_an_explanation_in_json_has_every_number_and_the_words(address):
    """Also those that are zero, which protobuf's JSON leaves out; without --explain there is none."""
    ran = run("intent", "卡 👍🏽 é", "--head", "sentiment", "--json", "--address", address)
    (told,) = json.loads(ran.output)["result"]["answer"]["explanations"]
    assert told == {
        "head": "sentiment", "label": "card_lost", "target": "", "lead": 2.25, "rest": 0.5, "about": 0.0, "left_out": 0,
        "words": [
            {"start": 0, "end": 1, "score": 1.0, "word": "卡"},
            {"start": 2, "end": 4, "score": -0.25, "word": "👍🏽"},
            {"start": 5, "end": 6, "score": 1.0, "word": "é"},
        ],
    }  # fmt: skip
    plain = json.loads(run("intent", "卡", "--json", "--address", address).output)
    assert "explanations" not in plain["result"]["answer"]


def test_an_answer_without_the_explanation_asked_for_ends_with_status_1(address):
    """The answer is shown all the same, and what to do is said."""
    ran = run("intent", "plain", "--explain", "--address", address)
    assert isinstance(ran.exception, Problem)
    assert "no model answered" in str(ran.exception)
    assert "card_lost" in ran.output
    ran = run("imaging", __file__, "--explain", "--address", address)
    assert isinstance(ran.exception, Problem)


@pytest.mark.parametrize(
    ("known", "explained", "version", "said"),
    [
        (False, ["intent"], "v2", ""),
        (False, [], "v2", "model intent v2 gives no explanation of intent"),
        (True, [], "v2", "none was asked for then"),
        (True, ["scope"], "v2", "explains scope, not intent"),
    ],
)
def test_why_there_is_no_explanation_is_said(known, explained, version, said):
    """Of a stored answer, of another head, of a model that gives none."""
    reply = intent_pb2.IntentReply(known=known)
    reply.result.answer.model.CopyFrom(event_pb2.Model(name="intent", version=version))
    for head in explained:
        reply.result.answer.explanations.add(head=head)
    assert said in why_missing(reply, "intent")
    assert bool(said) == bool(why_missing(reply, "intent"))


@pytest.mark.parametrize(
    ("poor", "head", "known", "said"),
    [
        (True, "finding", False, "not assessable, so that no finding is explained; --head quality explains why"),
        (True, "finding", True, "--head quality explains why; ask without --id"),
        (True, "quality", False, "model imaging v2 gives no explanation of quality, or a map of more than 1,024 cells"),
        (False, "finding", False, "model imaging v2 gives no explanation of finding, or a map of more than"),
        (False, "finding", True, "none was asked for then"),
    ],
)
def test_why_a_picture_has_no_map_is_said(poor, head, known, said):
    """Of a finding that must not be judged it is withheld; else the model has none, or one that no result keeps."""
    reply = imaging_pb2.ImagingReply(known=known)
    reply.result.decision = imaging_pb2.DECISION_NOT_ASSESSABLE if poor else imaging_pb2.DECISION_REFER
    reply.result.answer.model.CopyFrom(event_pb2.Model(name="imaging", version="v2"))
    assert said in why_missing(reply, head)
    reply.result.answer.ClearField("model")
    assert "no model answered" in why_missing(reply, head)


@pytest.mark.parametrize("command", [["ask", "--head"], ["send", "--explain"]])
@pytest.mark.parametrize(
    ("domain", "heads"),
    [("intent", "intent, sentiment, scope"), ("risk", "sentiment, severity"), ("imaging", "finding, quality")],
)
def test_a_mistyped_head_is_refused_before_anything_is_sent(command, domain, heads, tmp_path):
    """Also before a stack is looked for: nothing is stored that would stand in the way of asking again rightly."""
    name, option = command
    ran = CliRunner().invoke(
        app, [name, domain, "x", option, "sentimnet", "--data", str(tmp_path)], env={"COLUMNS": "200"}
    )
    assert ran.exit_code == 2
    assert f"{domain} explains {heads}; 'sentimnet' is none of them" in ran.output


@pytest.mark.parametrize(
    "text", ["x", "ﬁne \x1b[31m\u202eevil\r\n👩\u200d👧", "word " * 6553, "a" * 32768, "\u0301", "卡" * 10_000]
)
def test_any_text_is_shown_in_few_lines_and_in_colour(text):
    """However long it is and whatever it holds: nothing moves the cursor, and every strong word is seen."""
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
    for line in explain(explanation("intent", text), text):
        console.print(line)
    shown = console.file.getvalue()
    assert "\x1b[1;30;42m" in shown
    assert not set(shown) & {"\u202e", "\r"}
    assert "\x1b[31m\u202e" not in shown
    assert len(shown.splitlines()) < 25


def test_what_is_not_utf_8_is_refused_in_words():
    """A shell hands such bytes over as halves of characters, which nothing can encode."""
    ran = run("intent", "a\udcff", "--address", "127.0.0.1:1")
    assert isinstance(ran.exception, Problem)
    assert "must be UTF-8" in str(ran.exception)
