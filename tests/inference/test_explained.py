"""Outputs for those who ask: the vector behind an answer, and which tokens spoke for it."""

import json
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from safetensors.numpy import load_file

from protos import inference_pb2 as oip
from services.inference.attribution import AttributingDevice
from services.inference.text import EncoderDevice
from services.inference.units import Batch
from shared.bundle import Encoder, publish
from shared.calibration import softmax
from shared.settings import Settings
from tests.inference.bundles import WIDTH, publish_encoder, publish_text, sentence
from tests.inference.conftest import INTENT, Running, Store, Turning, serving, until
from tests.inference.test_server import ask, detail, refused, tensors

HEADS = ("intent", "sentiment")


def wanting(request: oip.ModelInferRequest, *outputs: str, head: str = "") -> oip.ModelInferRequest:
    for name in outputs:
        request.outputs.add(name=name)
    if head:
        request.parameters["head"].string_param = head
    return request


def told(found: dict[str, Any], row: int = 0) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(found["attribution"][row])
    return read


async def test_the_embedding_is_what_the_heads_read(running: Running, store: Store) -> None:
    """Weights, bias and temperature of the bundle make the probabilities of it; without asking nobody gets it."""
    request = ask("intent", "where is my card", "the parcel is late please")
    found: dict[str, Any] = tensors(
        await running.stub.ModelInfer(wanting(request, "embedding", "intent.probabilities"))
    )
    assert found["embedding"].shape == (2, WIDTH)
    weights = load_file(store.place / "intent" / "v1" / "heads-any.safetensors")
    logits = found["embedding"] @ weights["intent.weight"].T + weights["intent.bias"]
    np.testing.assert_allclose(found["intent.probabilities"], softmax(logits, 1.7), atol=1e-5)
    plain = tensors(await running.stub.ModelInfer(ask("intent", "where is my card", "the parcel is late please")))
    assert list(plain) == ["intent.probabilities", "sentiment.probabilities", "truncated"]
    np.testing.assert_allclose(found["intent.probabilities"], np.asarray(plain["intent.probabilities"]), atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
async def test_what_tokens_say_adds_up_to_the_lead(running: Running, store: Store, head: str) -> None:
    """Of the winning label over its rivals, by the bundle's own weights; each token is where the text has it."""
    texts = [sentence(1 + i, i) for i in range(9)]
    request = wanting(ask("intent", *texts), "attribution", "embedding", f"{head}.probabilities", head=head)
    found: dict[str, Any] = tensors(await running.stub.ModelInfer(request))
    weights = load_file(store.place / "intent" / "v1" / "heads-any.safetensors")
    logits = found["embedding"] @ weights[f"{head}.weight"].T + weights[f"{head}.bias"]
    logits /= 1.7 if head == "intent" else 1.0
    for row, text in enumerate(texts):
        one = told(found, row)
        winner = int(found[f"{head}.probabilities"][row].argmax())
        rivals = np.delete(logits[row], winner)
        assert (one["head"], one["label"]) == (head, INTENT[head][winner])
        assert one["lead"] == pytest.approx(logits[row, winner] - softmax(rivals) @ rivals, abs=1e-3)
        assert one["lead"] == pytest.approx(one["rest"] + sum(score for _, _, score in one["text"]), abs=1e-3)
        assert [text[start:end] for start, end, _ in one["text"]] == text.split()


async def test_the_first_head_is_explained_and_pairs_are_located(running: Running) -> None:
    """Where nothing else is said; of a pair both texts are."""
    request = ask("intent", "where is my card", text_pair=["the parcel"])
    one = told(tensors(await running.stub.ModelInfer(wanting(request, "attribution"))))
    assert one["head"] == "intent"
    assert [len(one["text"]), len(one["text_pair"])] == [4, 2]


async def test_a_bad_row_costs_the_others_nothing(running: Running) -> None:
    """Its attribution and its embedding are empty."""
    request = wanting(ask("intent", "my card", " "), "row_error", "attribution", "embedding")
    found: dict[str, Any] = tensors(await running.stub.ModelInfer(request))
    assert found["row_error"][1].startswith(b"TEXT_EMPTY")
    assert found["attribution"][1] == b""
    assert not found["embedding"][1].any()
    assert told(found)["text"]


async def test_plain_rows_never_share_a_pass_with_explained_ones(running: Running) -> None:
    """Embeddings do: they are there anyway. Explained rows cost more, and are counted so."""
    batches: list[Batch] = []
    running.engine.on_batch = lambda batch, seconds: batches.append(batch)
    await running.stub.ModelInfer(ask("intent", "where is my card"))
    await running.stub.ModelInfer(wanting(ask("intent", "where is my card"), "embedding"))
    await running.stub.ModelInfer(wanting(ask("intent", "where is my card"), "attribution"))
    plain, embedded, explained = batches
    assert plain.lane == embedded.lane
    assert isinstance(plain.lane, EncoderDevice)
    assert isinstance(explained.lane, AttributingDevice)
    assert plain.cost == embedded.cost < explained.cost


@pytest.mark.parametrize(
    ("model", "outputs", "head", "rows", "reason", "field"),
    [
        ("intent", ["heat"], "", 1, "OUTPUT_UNKNOWN", "outputs[heat]"),
        ("imaging", ["embedding"], "", 1, "OUTPUT_UNKNOWN", "outputs[embedding]"),
        ("intent", ["attribution"], "mood", 1, "HEAD_UNKNOWN", "parameters[head]"),
        ("intent", ["attribution"], "", 129, "ROWS_OUT_OF_RANGE", "outputs[attribution]"),
    ],
)
async def test_what_cannot_be_given_is_refused_by_name(
    running: Running, model: str, outputs: list[str], head: str, rows: int, reason: str, field: str
) -> None:
    """INVALID_ARGUMENT: the output, or the parameter, and what there is instead."""
    error = await refused(running.stub.ModelInfer(wanting(ask(model, *["card"] * rows), *outputs, head=head)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert detail(error, error_details_pb2.ErrorInfo).reason == reason  # type: ignore[attr-defined]
    assert detail(error, error_details_pb2.BadRequest).field_violations[0].field == field  # type: ignore[attr-defined]


async def test_the_cache_never_answers_for_another_head(store: Store) -> None:
    """What is kept knows rows, and an explanation depends on more."""
    ledger = Turning()
    ledger.point("intent", "v1", store.digests["intent"])
    async with serving(Settings(models=store.place, cache_bytes=1 << 20), ledger) as server:
        await until(lambda: server.registry.ready)
        for head in (*HEADS, *HEADS):
            request = wanting(ask("intent", "where is my card"), "attribution", "embedding", head=head)
            assert told(tensors(await server.stub.ModelInfer(request)))["head"] == head
        first, again = [
            tensors(await server.stub.ModelInfer(wanting(ask("intent", "where is my card"), "embedding")))
            for _ in range(2)
        ]
        np.testing.assert_array_equal(np.asarray(first["embedding"]), np.asarray(again["embedding"]))
        (found,) = (await server.stub.ModelStatistics(oip.ModelStatisticsRequest(name="intent"))).model_stats
        assert found.inference_stats.cache_hit.count == 1


async def test_a_model_names_only_what_it_can_give(tmp_path: Path) -> None:
    """An encoder that hands out its first token's vector says nothing of single tokens; vectors of two widths are no tensor."""
    place = tmp_path / "models"
    mean = publish_encoder(tmp_path, place)
    folder = place / "encoders" / mean
    first = tmp_path / "first"
    first.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (first / name).write_bytes((folder / name).read_bytes())
    spec = Encoder(architecture="transformer", name="first", width=WIDTH, max_tokens=32, pooling="cls")
    cls = publish(first, spec, place)[0].name
    ledger = Turning()
    ledger.point("a", "v1", publish_text(tmp_path, place, "a", "v1", {"*": mean}, INTENT))
    ledger.point("b", "v1", publish_text(tmp_path, place, "b", "v1", {"*": mean, "zh": cls}, INTENT))
    async with serving(Settings(models=place), ledger) as server:
        await until(lambda: server.registry.ready)
        outputs = {
            name: [each.name for each in (await metadata(server, name)).outputs if "." not in each.name]
            for name in ("a", "b")
        }
        assert outputs == {
            "a": ["truncated", "embedding", "attribution", "row_error"],
            "b": ["truncated", "embedding", "row_error"],
        }
        error = await refused(server.stub.ModelInfer(wanting(ask("b", "card"), "attribution")))
        assert "outputs[attribution]" in str(error.details())


async def metadata(server: Running, name: str) -> oip.ModelMetadataResponse:
    found: oip.ModelMetadataResponse = await server.stub.ModelMetadata(oip.ModelMetadataRequest(name=name))
    return found


async def test_the_parameter_explain_adds_what_there_is(running: Running) -> None:
    """To the usual outputs. A head that the model has not, or a model that explains nothing, costs nobody the answer."""
    usual = ["intent.probabilities", "sentiment.probabilities", "truncated"]
    for model, head, outputs in (
        ("intent", "sentiment", [*usual, "attribution"]),
        ("intent", "mood", usual),
        ("intent", "", usual),
        ("imaging", "finding", ["finding.probabilities", "truncated"]),
    ):
        request = ask(model, "where is my card")
        request.parameters["explain"].string_param = head
        found: dict[str, Any] = tensors(await running.stub.ModelInfer(request))
        assert list(found) == outputs
        assert "attribution" not in found or told(found)["head"] == head
