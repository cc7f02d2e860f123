"""The client against a real server in this process."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from protos import inference_pb2 as oip
from shared import telemetry
from shared.errors import Expired, Reject, Unavailable
from shared.inference.client import open_infer
from shared.inference.contract import Inference, deadline
from shared.inference.wire import WireError, read_response
from shared.settings import Settings
from tests.inference.bundles import sentence
from tests.inference.conftest import INTENT, Running, Store, Turning, serving, until


async def test_concurrent_calls_travel_together_and_each_gets_its_own_answer(running: Running) -> None:
    """300 rows need few requests, and a row's answer does not depend on its company."""
    infer = open_infer(Settings(inference=running.address))
    texts = [sentence(1 + i % 20, i) for i in range(300)]
    together = await asyncio.gather(*(infer("intent", {"text": text, "language": "en"}) for text in texts))
    calls = running.registry.records["intent", "v1"].success.count
    alone = [await infer("intent", {"text": text, "language": "en"}) for text in texts[:10]]
    await infer.close()
    assert calls <= 3
    for one, other in zip(alone, together, strict=False):
        assert one.card.labels == {head: tuple(labels) for head, labels in INTENT.items()}
        assert one.card.version == "v1"
        assert one.card.thresholds == {"intent.confident": 0.7}
        for head in INTENT:
            np.testing.assert_allclose(one.probabilities[head], other.probabilities[head], atol=1e-5)
            assert one.probabilities[head].sum() == pytest.approx(1, abs=1e-5)


async def test_those_who_ask_get_an_explanation_and_travel_apart(running: Running) -> None:
    """Of the head they name, in the places of their own text; others' answers are the same as ever."""
    infer = open_infer(Settings(inference=running.address))
    texts = [sentence(1 + i % 5, i) for i in range(150)]
    plain, explained, lacking, pair = await asyncio.gather(
        asyncio.gather(*(infer("intent", {"text": text}) for text in texts)),
        asyncio.gather(*(infer("intent", {"text": text}, explain="sentiment") for text in texts)),
        infer("intent", {"text": "my card"}, explain="mood"),
        infer("intent", {"text": "my card", "text_pair": "lost"}, explain="intent"),
    )
    await infer.close()
    assert lacking.attribution is None
    assert pair.attribution is not None
    assert [len(pair.attribution.text), len(pair.attribution.text_pair or ())] == [2, 1]
    for text, one, other in zip(texts, plain, explained, strict=True):
        told = other.attribution
        assert one.attribution is None
        assert told is not None
        assert (told.head, told.label, told.text_pair) == ("sentiment", other.ranking("sentiment")[0][0], None)
        assert [text[start:end] for start, end, _ in told.text] == text.split()
        assert told.lead == pytest.approx(told.rest + sum(piece.score for piece in told.text), abs=1e-3)
        np.testing.assert_allclose(one.probabilities["intent"], other.probabilities["intent"], atol=1e-5)


async def test_a_bad_row_is_rejected_alone(running: Running) -> None:
    """One empty text among good ones costs only its own call."""
    infer = open_infer(Settings(inference=running.address))
    texts = ["where is my card", "  ", "refund please"]
    answers = await asyncio.gather(*(infer("intent", {"text": text}) for text in texts), return_exceptions=True)
    await infer.close()
    assert isinstance(answers[1], Reject)
    assert answers[1].reason == "TEXT_EMPTY"
    assert not isinstance(answers[0], BaseException)
    assert not isinstance(answers[2], BaseException)


async def test_a_request_refused_as_a_whole_is_asked_row_by_row(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server finds wrong with one row, the others get their answers."""
    infer = open_infer(Settings(inference=running.address))
    ask = infer._ask

    async def picky(kind: Any, batch: Sequence[Any]) -> Any:
        if any(b"poison" in value for each in batch for value in each.values):
            raise Reject("ROW_ODD", "the server does not like it")
        return await ask(kind, batch)

    monkeypatch.setattr(infer, "_ask", picky)
    texts = ["where is my card", "poison", "refund please"]
    answers = await asyncio.gather(*(infer("intent", {"text": text}) for text in texts), return_exceptions=True)
    await infer.close()
    assert isinstance(answers[1], Reject)
    assert [isinstance(answer, Inference) for answer in answers] == [True, False, True]


async def test_what_is_down_or_missing_is_unavailable(running: Running) -> None:
    """A model that is not live and a server that is not there both mean: try again later."""
    infer = open_infer(Settings(inference=running.address))
    with pytest.raises(Unavailable, match="no live model 'nothing'"):
        await infer("nothing", {"text": "a"})
    await infer.close()
    nowhere = open_infer(Settings(inference="127.0.0.1:1"))
    with pytest.raises(Unavailable, match="inference is unavailable: UNAVAILABLE"):
        await nowhere("intent", {"text": "a"})
    await nowhere.close()


async def test_a_row_past_its_deadline_is_never_sent(running: Running) -> None:
    """The deadline of what is being handled is the row's."""
    infer = open_infer(Settings(inference=running.address))
    deadline.set(asyncio.get_running_loop().time() - 0.1)
    with pytest.raises(Expired):
        await infer("intent", {"text": "a"})
    deadline.set(None)
    await infer.close()
    assert running.registry.records["intent", "v1"].success.count == 0


async def test_arrays_and_oversized_values(running: Running) -> None:
    """Arrays of one shape share a request; what no server would take is refused before it travels."""
    infer = open_infer(Settings(inference=running.address))
    images = [np.full((8, 8), i, np.uint8) for i in range(5)]
    answers = await asyncio.gather(*(infer("imaging", {"image": image}) for image in images))
    assert [answer.ranking("finding")[0] for answer in answers] == [("normal", 0.75)] * 5
    assert running.registry.records["imaging", "v1"].success.count == 1
    with pytest.raises(Reject, match="INPUT_TOO_LARGE: text has 65,537 bytes"):
        await infer("intent", {"text": "a" * 65_537})
    with pytest.raises(TypeError):
        await infer("intent", {"text": 3})  # type: ignore[dict-item]
    await infer.close()


async def test_closing_tells_those_who_wait(running: Running) -> None:
    """Nobody waits for ever for a client that is closed."""
    infer = open_infer(Settings(inference=running.address))
    waiting = [asyncio.ensure_future(infer("intent", {"text": sentence(20, i)})) for i in range(600)]
    await asyncio.sleep(0)
    await infer.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in ended)


async def test_one_trace_leads_from_the_event_to_the_server(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request's span continues its first row's trace and links the others'; the server's span continues the request's."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(telemetry, "tracer", provider.get_tracer("test"))
    monkeypatch.setattr(telemetry, "enabled", lambda: True)
    infer = open_infer(Settings(inference=running.address))

    async def handle(text: str) -> int:
        with telemetry.tracer.start_as_current_span("event", Context()) as event:
            await infer("intent", {"text": text})
            return event.get_span_context().trace_id

    first, second = await asyncio.gather(handle("refund"), handle("lost"))
    await infer.close()
    ended = {span.kind: span for span in spans.get_finished_spans()}
    client, server = ended[SpanKind.CLIENT], ended[SpanKind.SERVER]
    assert client.context.trace_id == server.context.trace_id == first
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert [link.context.trace_id for link in client.links] == [second]


async def test_callers_who_leave_take_their_request_along(running: Running) -> None:
    """When the last one has left, the server is told, and drops the rows."""
    infer = open_infer(Settings(inference=running.address))
    calls = [asyncio.ensure_future(infer("intent", {"text": sentence(25, i)})) for i in range(250)]
    await until(lambda: running.engine.admission.rows > 0)
    for call in calls:
        call.cancel()
    await until(lambda: running.engine.admission.rows == 0)
    assert running.registry.records["intent", "v1"].fail.count == 1
    assert (await infer("intent", {"text": "refund"})).card.version == "v1"
    await infer.close()


async def test_a_server_that_comes_back_is_used_again(store: Store) -> None:
    """The same client, without being told; meanwhile calls fail at once instead of hanging."""
    ledger = Turning()
    ledger.point("imaging", "v1", store.digests["imaging"])
    image = np.zeros((4, 4), np.uint8)
    async with serving(Settings(models=store.place), ledger) as server:
        await until(lambda: server.registry.ready)
        address = server.address
        infer = open_infer(Settings(inference=address))
        await infer("imaging", {"image": image})
    with pytest.raises(Unavailable):
        await infer("imaging", {"image": image})
    async with serving(Settings(models=store.place, listen=address), ledger), asyncio.timeout(60):
        while True:
            try:
                answer = await infer("imaging", {"image": image})
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert answer.card.version == "v1"
    await infer.close()


@pytest.mark.parametrize(
    ("model", "labels", "said"),
    [
        ("intent", {"intent": ["a", "b"], "scope": ["in", "out"]}, "no label 'out_of_scope' of head 'scope'"),
        ("risk", {"sentiment": ["negative", "positive"], "severity": ["minor", "major"]}, "the label 'major' of head"),
        ("imaging", {"finding": ["a", "b"], "quality": ["fine", "bad"]}, "no label 'poor' of head 'quality'"),
    ],
)
def test_a_version_that_its_domain_would_misread_is_not_believed(
    model: str, labels: dict[str, list[str]], said: str
) -> None:
    """Whoever serves it: the event waits for another version, rather than have a wrong result or a fault of the handler."""
    response = oip.ModelInferResponse()
    card = {"model": model, "version": "v9", "labels": labels, "thresholds": {}}
    response.parameters["card"].string_param = json.dumps(card)
    with pytest.raises(WireError, match=f"{model} v9 has .*{said}.*; roll it back"):
        read_response(response, 1)
