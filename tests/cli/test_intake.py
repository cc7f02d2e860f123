"""What files say becomes drafts, and what they do not say is told with file and line."""

import io
import json
from datetime import UTC, datetime

import pytest

from services.cli.contract import contracts
from services.cli.problem import Problem
from services.cli.sending import intake
from services.cli.sending.intake import Options

INTENT, RISK = contracts()["intent"], contracts()["risk"]


def drafts(text, kind, contract=INTENT, options=None):
    return list(intake.read(contract, io.StringIO(text, newline=""), f"dir/words.{kind}", kind, options or Options()))


def test_lines_of_text_become_events_named_by_line_and_content():
    """A text file is one event a line; blank lines are passed over and do not shift the numbers of the others."""
    first, second = drafts("where is my card?\n\n  lost it \n", "txt")
    assert (first.request.text, second.request.text) == ("where is my card?", "lost it")
    assert first.source == "cli/words.txt"
    assert first.id.startswith("1-")
    assert second.id.startswith("3-")


def test_the_same_file_makes_the_same_events_and_an_edited_line_a_new_one():
    """Sending twice repeats events; correcting a line does not reuse the id of the line it was."""
    once, again = drafts("a\nb\n", "txt"), drafts("a\nb\n", "txt")
    edited = drafts("a\nB\n", "txt")
    assert [draft.id for draft in once] == [draft.id for draft in again]
    assert once[0].id == edited[0].id
    assert once[1].id != edited[1].id


def test_a_table_is_read_by_its_columns():
    """The request's own column names are used; labels and other columns are left out."""
    (draft,) = drafts('text,category,conversation\n"I lost, it",card_lost,c-1\n', "csv")
    assert draft.request.text == "I lost, it"
    assert draft.request.conversation == "c-1"


def test_a_table_with_another_column_needs_to_be_told_which():
    """Without a column of the field's name the message lists the columns and names the option."""
    with pytest.raises(Problem, match=r"no column 'headline' \(columns: title, n\).*--column"):
        drafts("title,n\nBank falls,1\n", "csv", RISK)
    (draft,) = drafts("title,n\nBank falls,1\n", "csv", RISK, Options(column="title"))
    assert draft.request.headline == "Bank falls"


def test_a_json_line_is_the_request_with_the_events_own_attributes_beside_it():
    """id, source, caller, subject and time name the event; everything else is the request's JSON mapping."""
    row = {"id": "e1", "source": "shop", "caller": "eu", "subject": "c-9", "time": "2026-01-31T09:30:00Z", "text": "hi"}
    (draft,) = drafts(json.dumps(row), "jsonl")
    assert (draft.id, draft.source, draft.caller, draft.subject) == ("e1", "shop", "eu", "c-9")
    assert draft.time == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert draft.request.text == "hi"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", r"words.jsonl:1: not JSON"),
        ('["text"]', r"words.jsonl:1: a line must be a JSON object"),
        ('{"text": "a", "mood": 1}', r"words.jsonl:1: .*mood.*--ignore-unknown"),
        ('{"text": 5}', r"words.jsonl:1: not a tidemill.intent.v1.IntentRequest"),
        ('{"text": "a", "time": "noon"}', r"words.jsonl:1: `time` must be RFC 3339"),
    ],
)
def test_a_bad_json_line_is_named(line, said):
    """The message says file, line and what to do; nothing of the kind is sent."""
    with pytest.raises(Problem, match=said):
        drafts(line, "jsonl")


def test_labelled_data_can_be_sent_as_it_is():
    """`text` stands for the text of any domain; a label that uses a field's name for something else is left out too."""
    line = json.dumps({"id": "h-1", "text": "Bank falls", "pair": "p", "issuers": [{"issuer": "BRKM"}]})
    (draft,) = drafts(line, "jsonl", RISK, Options(ignore_unknown=True))
    assert (draft.id, draft.request.headline, list(draft.request.issuers)) == ("h-1", "Bank falls", [])
    (draft,) = drafts('{"title": "Bank falls"}', "jsonl", RISK, Options(column="title"))
    assert draft.request.headline == "Bank falls"


def test_unknown_fields_can_be_dropped_and_a_language_given_for_all():
    """`--ignore-unknown` lets labelled data through; `--language` fills the language that a line does not state."""
    options = Options(ignore_unknown=True, defaults={"language": "en"})
    stated, unstated = drafts('{"text": "你好", "language": "zh", "mood": 1}\n{"text": "hi"}', "jsonl", options=options)
    assert (stated.request.language, unstated.request.language) == ("zh", "en")
