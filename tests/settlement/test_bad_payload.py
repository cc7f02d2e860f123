"""Payloads that are no request: refused by name, without a word of theirs, and at nobody else's cost."""

import pytest

from shared.settlement.settlement import Sink, settle
from tests.fakes import FakeStore, arrival, means
from tests.settlement.outcomes import ECHO, letter, result

BAD = {
    "PAYLOAD_NOT_PROTOBUF": (b"\xff\xff\xff", "application/protobuf"),
    "PAYLOAD_NOT_JSON": (b'{"text": 7}', "application/json"),
    "PAYLOAD_NOT_UTF8": (b'{"text": "\xff"}', "application/json"),
    "CONTENT_TYPE_UNKNOWN": (b"a,b", "text/csv"),
    "PAYLOAD_TOO_LARGE": (b"\x0a" + b"\0" * (16 * 1024 * 1024), "application/protobuf"),
}


@pytest.mark.parametrize("reason", BAD)
async def test_bad_bytes_cost_their_own_event_alone(store: Sink, reason: str) -> None:
    """Undecodable, mistyped, unknown or oversize: a stable code, and the neighbours are answered."""
    payload, content_type = BAD[reason]
    batch = [arrival("a", "1"), arrival(payload, "2", content_type=content_type), arrival("b", "3")]
    before, bad, after = await settle(ECHO, batch, means(store))
    assert letter(bad).reason == reason
    assert [result(before).intent, result(after).intent] == ["a", "b"]


@pytest.mark.parametrize(
    "text", [b'{"txet": "a"}', b'{"text": {"a": 1}}', b'{"text": ["a"]}', b"[1]", b'"a"', b"{", b"[" * 5000]
)
async def test_wrong_json_is_named(text: bytes) -> None:
    """Unknown and mistyped fields, other shapes and bottomless nesting are refused, not guessed at."""
    [settled] = await settle(ECHO, [arrival(text, content_type="application/json")], means(FakeStore()))
    assert letter(settled).reason == "PAYLOAD_NOT_JSON"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"text": {"4111": 1}}', "the value of the text field is of another kind"),
        (b'{"txet": "4111"}', "IntentRequest has no field named 'txet'"),
        (b'{"My card 4111": 1}', "it does not fit the message"),
        (b'["My card 4111"]', "it must be a JSON object"),
        (b'{"text": 4111', "it is not JSON at line 1 column 14"),
        (b'{"text": "4111", "text": "4111"}', "a key stands twice"),
    ],
)
async def test_wrong_json_is_explained_without_its_words(text: bytes, said: str) -> None:
    """The dead letter names the field or the place; a customer's words stay in the payload."""
    [settled] = await settle(ECHO, [arrival(text, content_type="application/json")], means(FakeStore()))
    assert letter(settled).detail == f"the payload is not a tidemill.intent.v1.IntentRequest in JSON: {said}"
