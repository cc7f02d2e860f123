"""A model that fails on certain rows, and on them alone: its own forward pass raises, or its answer is no number."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2

from protos import event_pb2
from protos import inference_pb2 as oip
from services.intent.wiring import DOMAIN as INTENT_DOMAIN
from shared.errors import Reject
from shared.inference.client import open_infer
from shared.inference.contract import Inference
from shared.nn.bert import Bert
from shared.nn.image import Classifier
from shared.nn.subwords import SubwordTokenizer
from shared.settings import Settings
from shared.stream.batches import Batches
from shared.stream.watchdog import Watchdog
from tests.fakes import FakeStore, arrival, means
from tests.inference.bundles import WORDS, sentence
from tests.inference.conftest import Running, Turning, serving, until
from tests.inference.test_explained import told, wanting
from tests.inference.test_picture import SPEC, publish_images
from tests.inference.test_picture import ask as ask_images
from tests.inference.test_server import ask, detail, refused, tensors
from tests.streaming.test_batches import FakePublisher

POISON = "refund"
TOKEN = 4 + WORDS.index(POISON)  # after the special ones
GOOD = [word for word in WORDS if word != POISON]


@pytest.fixture
def poisoned(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """The encoder's forward pass raises where it meets one word."""
    forward = Bert.forward

    def fail(self: Bert, packed: Any) -> Any:
        if TOKEN in packed.ids:
            raise RuntimeError("an index is out of range")
        return forward(self, packed)

    monkeypatch.setattr(Bert, "forward", fail)
    return running


def good(length: int, seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(GOOD, length))


def reasons(response: oip.ModelInferResponse) -> list[str]:
    return [each.decode().partition(": ")[0] for each in tensors(response)["row_error"]]  # type: ignore[union-attr]


def with_errors(request: oip.ModelInferRequest) -> oip.ModelInferRequest:
    request.parameters["row_error"].bool_param = True
    return request


async def test_a_row_that_fails_by_itself_is_told_apart(poisoned: Running) -> None:
    """Its neighbours in the request, and other callers' rows in the same pass, get the answers that they get without it."""
    texts = [good(1 + i % 9, i) for i in range(20)]
    alone = tensors(await poisoned.stub.ModelInfer(ask("intent", *texts)))
    mixed = with_errors(ask("intent", *texts[:10], f"my {POISON}", *texts[10:], POISON))
    with poisoned.engine._lock:  # so that all of them are one pass
        calls = [asyncio.ensure_future(call()) for call in (lambda: poisoned.stub.ModelInfer(mixed),) * 2]
        calls += [asyncio.ensure_future(poisoned.stub.ModelInfer(ask("risk", *texts)))]
        await until(lambda: poisoned.engine.waiting == 2 * 22 + 20)
    first, second, other = await asyncio.gather(*calls)
    places = [row for row in range(22) if row not in {10, 21}]
    for response in (first, second):
        assert [row for row, reason in enumerate(reasons(response)) if reason] == [10, 21]
        assert set(reasons(response)) == {"", "MODEL_FAILED"}
        found = np.asarray(tensors(response)["intent.probabilities"])
        np.testing.assert_allclose(found[places], np.asarray(alone["intent.probabilities"]), atol=1e-5)
        np.testing.assert_array_equal(found[[10, 21]], 0)
    np.testing.assert_allclose(np.asarray(tensors(other)["severity.probabilities"]).sum(1), 1, atol=1e-5)


async def test_explaining_tells_such_rows_apart_too(poisoned: Running) -> None:
    """They have neither an attribution nor an embedding; their neighbours have what they have without them."""
    outputs = ("row_error", "attribution", "embedding", "intent.probabilities")
    texts = [good(1 + i % 9, i) for i in range(6)]
    alone: dict[str, Any] = tensors(await poisoned.stub.ModelInfer(wanting(ask("intent", *texts), *outputs)))
    mixed = ask("intent", *texts[:2], f"my {POISON}", " ", *texts[2:], POISON)
    response = await poisoned.stub.ModelInfer(wanting(mixed, *outputs))
    assert reasons(response) == ["", "", "MODEL_FAILED", "TEXT_EMPTY", "", "", "", "", "MODEL_FAILED"]
    found: dict[str, Any] = tensors(response)
    for row, place in enumerate((0, 1, 4, 5, 6, 7)):
        one, other = told(alone, row), told(found, place)
        assert [at[:2] for at in other["text"]] == [at[:2] for at in one["text"]]
        assert other["lead"] == pytest.approx(one["lead"], abs=1e-3)
        np.testing.assert_allclose(found["embedding"][place], alone["embedding"][row], atol=1e-5)
    for place in (2, 3, 8):
        assert found["attribution"][place] == b""
        assert not found["embedding"][place].any()
        assert not found["intent.probabilities"][place].any()


async def test_who_does_not_ask_for_row_errors_is_told_the_row(poisoned: Running) -> None:
    """Not to be asked again as it is: INVALID_ARGUMENT, with the row as the field at fault."""
    error = await refused(poisoned.stub.ModelInfer(ask("intent", "my card", POISON)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details().startswith("MODEL_FAILED: row 1: ")
    (violation,) = detail(error, error_details_pb2.BadRequest).field_violations  # type: ignore[attr-defined]
    assert violation.field == "row 1"


async def test_a_request_of_nothing_but_bad_rows_is_decided_in_turns(poisoned: Running) -> None:
    """Each ends as bad, and a good one that came later is answered."""
    rows = 128
    bad = poisoned.stub.ModelInfer(with_errors(ask("intent", *[f"{POISON} {sentence(3, i)}" for i in range(rows)])))
    answered = poisoned.stub.ModelInfer(ask("risk", "my card"))
    assert reasons(await bad) == ["MODEL_FAILED"] * rows
    assert (await answered).model_name == "risk"
    assert poisoned.engine.waiting == 0


async def test_a_device_out_of_order_is_no_rows_fault(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails on what it answered before: INTERNAL, which callers try again; in order again, it answers."""
    with monkeypatch.context() as patch:
        patch.setattr(Bert, "forward", lambda self, packed: packed.ids.new_zeros(-1))
        error = await refused(running.stub.ModelInfer(with_errors(ask("intent", "my card", "the bank"))))
        assert error.code() == grpc.StatusCode.INTERNAL
        assert error.details().startswith("COMPUTE_FAILED: ")
        assert "negative" not in error.details()
    assert (await running.stub.ModelInfer(ask("intent", "my card"))).model_name == "intent"


async def test_memory_that_a_batch_lacks_is_no_rows_fault(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of at most 40 tokens fit: all rows are answered, in smaller passes."""
    forward = Bert.forward

    def fail(self: Bert, packed: Any) -> Any:
        if len(packed.ids) > 40:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, packed)

    monkeypatch.setattr(Bert, "forward", fail)
    response = await running.stub.ModelInfer(with_errors(ask("intent", *[sentence(8, i) for i in range(30)])))
    assert reasons(response) == [""] * 30
    np.testing.assert_allclose(np.asarray(tensors(response)["intent.probabilities"]).sum(1), 1, atol=1e-5)


async def test_a_text_that_the_tokeniser_fails_on_is_told_apart(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic of its Rust is no Exception; when it fails on everything, no text is blamed."""

    class Panic(BaseException):
        pass

    encode, bad = SubwordTokenizer.encode, [POISON]

    def fail(self: SubwordTokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Any:
        if any(word in text for text in texts for word in bad):
            raise Panic("secret")
        return encode(self, texts, pairs)

    monkeypatch.setattr(SubwordTokenizer, "encode", fail)
    request = with_errors(ask("intent", "my card", POISON, "the bank", text_pair=["why", "", "late"]))
    response = await running.stub.ModelInfer(request)
    assert reasons(response) == ["", "MODEL_FAILED", ""]
    bad.append("")
    error = await refused(running.stub.ModelInfer(request))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert "secret" not in error.details()


async def test_a_text_whose_tokens_cannot_be_located_is_told_apart(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic there would otherwise leave the call without any answer; the other rows have theirs."""

    class Panic(BaseException):
        pass

    locate = SubwordTokenizer.locate

    def fail(self: SubwordTokenizer, text: str, pair: str = "") -> Any:
        if POISON in text:
            raise Panic("secret")
        return locate(self, text, pair)

    monkeypatch.setattr(SubwordTokenizer, "locate", fail)
    request = ask("intent", "my card", POISON, " ", "the bank")
    response = await running.stub.ModelInfer(
        wanting(request, "row_error", "attribution", "intent.probabilities"), timeout=30
    )
    assert reasons(response) == ["", "MODEL_FAILED", "TEXT_EMPTY", ""]
    found: dict[str, Any] = tensors(response)
    assert [bool(each) for each in found["attribution"]] == [True, False, False, True]
    np.testing.assert_allclose(found["intent.probabilities"].sum(1), [1, 0, 0, 1], atol=1e-5)
    error = await refused(running.stub.ModelInfer(wanting(ask("intent", POISON), "attribution"), timeout=30))
    assert error.details().startswith("MODEL_FAILED: row 0: ")


@pytest.fixture
async def seeing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """An image classifier whose answer to white images is NaN."""
    ledger = Turning()
    ledger.point("imaging", "v1", publish_images(tmp_path))
    forward = Classifier.forward

    def fail(self: Classifier, images: torch.Tensor) -> dict[str, torch.Tensor]:
        white = images.flatten(1).amin(1) > (0.99 - SPEC.image.mean) / SPEC.image.std  # type: ignore[union-attr]
        return {head: logits.masked_fill(white[:, None], torch.nan) for head, logits in forward(self, images).items()}

    monkeypatch.setattr(Classifier, "forward", fail)
    async with serving(Settings(models=tmp_path / "models"), ledger) as server:
        await until(lambda: server.registry.ready)
        yield server


async def test_an_image_whose_answer_is_no_number_is_told_apart(seeing: Running) -> None:
    """NaN would travel on as a probability."""
    images = np.random.default_rng(0).integers(0, 200, (5, 40, 28), np.uint8)
    images[3] = 255
    request = with_errors(ask_images(images))
    response = await seeing.stub.ModelInfer(request)
    assert reasons(response) == ["", "", "", "MODEL_FAILED", ""]
    for head in ("finding", "quality"):
        sums = np.asarray(tensors(response)[f"{head}.probabilities"]).sum(1)
        np.testing.assert_allclose(sums, [1, 1, 1, 0, 1], atol=1e-5)


async def test_the_event_of_a_bad_row_ends_as_one_dead_letter(poisoned: Running) -> None:
    """Through the client and a stream worker's batches: its neighbours' events have results, and nothing waits for ever."""
    infer = open_infer(Settings(inference=poisoned.address))
    store, publisher, finished = FakeStore(), FakePublisher(), list[str]()
    batches = Batches(INTENT_DOMAIN, replace(means(store), infer=infer), publisher, Watchdog(), finished.extend, 8, 60)  # type: ignore[arg-type]
    texts = ["where is my card", f"{POISON} please", "help", "the bank"]
    await batches.take([(arrival(text, str(i)), str(i)) for i, text in enumerate(texts)])
    await asyncio.wait_for(batches.finished(), 60)
    await infer.close()
    assert finished == ["0", "1", "2", "3"]
    kinds = {key.id: outcome.kind for key, outcome in store.rows.items()}
    assert kinds == {"0": "result", "1": "dead_letter", "2": "result", "3": "result"}
    (letter,) = (outcome for outcome in store.rows.values() if outcome.kind == "dead_letter")
    assert event_pb2.DeadLetter.FromString(letter.body).reason == "MODEL_FAILED"
    published = [record.topic for records in publisher.published for record in records]
    assert sorted(published) == [INTENT_DOMAIN.dead_letters] + 3 * [INTENT_DOMAIN.results]


async def test_the_client_rejects_a_bad_row_alone(poisoned: Running) -> None:
    """Its reason is the server's, and the rows that travelled with it are answered."""
    infer = open_infer(Settings(inference=poisoned.address))
    calls = (infer("intent", {"text": text}) for text in ("my card", POISON, "the bank"))
    first, bad, last = await asyncio.gather(*calls, return_exceptions=True)
    await infer.close()
    assert isinstance(bad, Reject)
    assert bad.reason == "MODEL_FAILED"
    assert isinstance(first, Inference)
    assert isinstance(last, Inference)
