"""The server's promises to its callers, over a real channel."""

import asyncio
import json
import struct
import time

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status.rpc_status import from_call

from protos import inference_pb2 as oip
from services.inference.tensors import pack_bytes, unpack_bytes
from shared.settings import Settings
from tests.inference.bundles import WIDTH, sentence
from tests.inference.conftest import Running, Store, Turning, serving


def ask(model: str = "intent", *texts: str | bytes, **columns: list[str]) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name=model, id="7")
    for name, values in ({"text": list(texts)} | columns).items():
        raw = pack_bytes([value.encode() if isinstance(value, str) else value for value in values])
        request.inputs.add(name=name, datatype="BYTES", shape=[len(values)])
        request.raw_input_contents.append(raw)
    return request


def tensors(response: oip.ModelInferResponse) -> dict[str, np.ndarray | list[bytes]]:
    found: dict[str, np.ndarray | list[bytes]] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BYTES":
            found[output.name] = unpack_bytes(raw, output.shape[0], output.name)
        else:
            kind = {"FP32": "<f4", "BOOL": "?"}[output.datatype]
            found[output.name] = np.frombuffer(raw, kind).reshape(tuple(output.shape))
    return found


async def refused(call: "grpc.aio.UnaryUnaryCall[object, object]") -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def detail(error: grpc.aio.AioRpcError, kind: type[Message]) -> Message:
    """The one detail of this kind in the error's google.rpc.Status."""
    status = from_call(error)
    assert status is not None
    (packed,) = [each for each in status.details if each.Is(kind.DESCRIPTOR)]
    found = kind()
    packed.Unpack(found)
    return found


async def test_it_says_what_it_is(running: Running) -> None:
    """Liveness, readiness, metadata, index and health, overall and by model."""
    stub = running.stub
    assert (await stub.ServerLive(oip.ServerLiveRequest())).live
    assert (await stub.ServerReady(oip.ServerReadyRequest())).ready
    assert (await stub.ServerMetadata(oip.ServerMetadataRequest())).name == "tidemill"
    assert (await stub.ModelReady(oip.ModelReadyRequest(name="intent"))).ready
    assert (await stub.ModelReady(oip.ModelReadyRequest(name="intent", version="v1"))).ready
    assert not (await stub.ModelReady(oip.ModelReadyRequest(name="intent", version="v2"))).ready
    assert not (await stub.ModelReady(oip.ModelReadyRequest(name="other"))).ready
    metadata = await stub.ModelMetadata(oip.ModelMetadataRequest(name="intent"))
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [
        ("text", "BYTES", [-1]),
        ("text_pair", "BYTES", [-1]),
        ("language", "BYTES", [-1]),
    ]
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.outputs] == [
        ("intent.probabilities", "FP32", [-1, 3]),
        ("sentiment.probabilities", "FP32", [-1, 3]),
        ("truncated", "BOOL", [-1]),
        ("embedding", "FP32", [-1, WIDTH]),
        ("attribution", "BYTES", [-1]),
        ("row_error", "BYTES", [-1]),
    ]
    index = await stub.RepositoryIndex(oip.RepositoryIndexRequest())
    assert [(each.name, each.version, each.state) for each in index.models] == [
        (name, "v1", "READY") for name in ("imaging", "intent", "risk")
    ]
    async with grpc.aio.insecure_channel(running.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "intent", "risk", "imaging"):
            checked = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert checked.status == health_pb2.HealthCheckResponse.SERVING


async def test_outputs_are_those_asked_for_in_that_order_and_the_id_comes_back(running: Running) -> None:
    """Also the card, for those who ask."""
    request = ask("intent", "where is my card", "refund")
    request.outputs.add(name="truncated")
    request.outputs.add(name="sentiment.probabilities")
    request.parameters["card"].bool_param = True
    response = await running.stub.ModelInfer(request)
    assert (response.id, response.model_name, response.model_version) == ("7", "intent", "v1")
    assert [output.name for output in response.outputs] == ["truncated", "sentiment.probabilities"]
    card = json.loads(response.parameters["card"].string_param)
    assert card["labels"]["sentiment"] == ["negative", "neutral", "positive"]
    assert card["thresholds"] == {"intent.confident": 0.7}
    everything = await running.stub.ModelInfer(ask("intent", "where is my card", "refund"))
    assert [output.name for output in everything.outputs][-1] == "truncated"
    assert "card" not in everything.parameters
    np.testing.assert_array_equal(
        tensors(everything)["sentiment.probabilities"], tensors(response)["sentiment.probabilities"]
    )


async def test_a_batch_of_mixed_lengths_is_answered_as_one_by_one(running: Running) -> None:
    """Order, pairs and company change nothing."""
    texts = [sentence(1 + 7 * i % 25, i) for i in range(40)]
    pairs = [sentence(i % 3, i) for i in range(40)]
    together = tensors(await running.stub.ModelInfer(ask("risk", *texts, text_pair=pairs)))["severity.probabilities"]
    for i, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        alone = tensors(await running.stub.ModelInfer(ask("risk", text, text_pair=[pair])))["severity.probabilities"]
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)
    assert np.ptp(np.asarray(together), axis=0).max() > 0.01


async def test_bad_rows_are_told_apart_from_good_ones(running: Running) -> None:
    """With row_error every good row is answered; without it the request fails, naming the first bad row."""
    rows: list[str | bytes] = ["where is my card", "", b"\xff\xfe", "a" * 32_769, "refund"]
    error = await refused(running.stub.ModelInfer(ask("intent", *rows)))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    violations = detail(error, error_details_pb2.BadRequest).field_violations  # type: ignore[attr-defined]
    assert [each.field for each in violations] == ["row 1"]
    assert error.details().startswith("TEXT_EMPTY: row 1: ")
    request = ask("intent", *rows)
    request.parameters["row_error"].bool_param = True
    answered = tensors(await running.stub.ModelInfer(request))
    reasons = [each.decode().partition(": ")[0] for each in answered["row_error"]]  # type: ignore[union-attr]
    assert reasons == ["", "TEXT_EMPTY", "TEXT_NOT_UTF8", "TEXT_TOO_LONG", ""]
    sums = np.asarray(answered["intent.probabilities"]).sum(1)
    np.testing.assert_allclose(sums, [1, 0, 0, 0, 1], atol=1e-5)


async def test_long_texts_are_cut_and_flagged(running: Running) -> None:
    """The test encoder reads 32 tokens."""
    answered = tensors(await running.stub.ModelInfer(ask("intent", sentence(30, 0), sentence(31, 0))))
    assert list(answered["truncated"]) == [False, True]


async def test_unknown_models_and_versions_are_not_found(running: Running) -> None:
    """In every call that names one, saying what there is."""
    stub = running.stub
    versioned = ask("intent", "a")
    versioned.model_version = "v9"
    for call in (
        stub.ModelInfer(ask("nothing", "a")),
        stub.ModelInfer(versioned),
        stub.ModelInfer(ask("../../etc", "a")),
        stub.ModelMetadata(oip.ModelMetadataRequest(name="nothing")),
        stub.ModelStatistics(oip.ModelStatisticsRequest(name="nothing")),
    ):
        error = await refused(call)
        assert error.code() == grpc.StatusCode.NOT_FOUND
        assert detail(error, error_details_pb2.ErrorInfo).reason == "MODEL_NOT_FOUND"  # type: ignore[attr-defined]


async def test_bad_parameters_and_tensors_are_invalid(running: Running) -> None:
    """With a violation that names the field."""
    urgent = ask("intent", "a")
    urgent.parameters["priority"].uint64_param = 10
    negative = ask("intent", "a")
    negative.parameters["timeout"].int64_param = -1
    lying = ask("intent", "a")
    lying.raw_input_contents[0] = struct.pack("<I", 2**32 - 1) + b"a"
    for request, field in (
        (urgent, "parameters[priority]"),
        (negative, "parameters[timeout]"),
        (lying, "inputs[text]"),
    ):
        error = await refused(running.stub.ModelInfer(request))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        violations = detail(error, error_details_pb2.BadRequest).field_violations  # type: ignore[attr-defined]
        assert [each.field for each in violations] == [field]


async def test_messages_beyond_grpcs_default_limit_work(running: Running) -> None:
    """24 MiB of text in one request."""
    request = ask("intent", *["card " * 6000] * 800)
    assert request.ByteSize() > 20 << 20
    request.parameters["row_error"].bool_param = True
    answered = tensors(await running.stub.ModelInfer(request, timeout=60))
    assert np.asarray(answered["truncated"]).all()


async def test_a_full_server_says_when_to_come_back(running: Running) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo and a reason; the rows inside are answered."""
    running.engine.admission.max_rows = 100
    calls = [
        running.stub.ModelInfer(ask("intent", *[sentence(20, i)] * 80), metadata=(("tidemill-caller", f"{i}"),))
        for i in range(6)
    ]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    errors = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    assert 0 < len(errors) < 6
    for error in errors:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert detail(error, error_details_pb2.ErrorInfo).reason == "QUEUE_FULL"  # type: ignore[attr-defined]
        delay = detail(error, error_details_pb2.RetryInfo).retry_delay  # type: ignore[attr-defined]
        assert 0 < delay.ToNanoseconds() <= 30e9
    assert (await running.stub.ModelInfer(ask("intent", "refund"))).model_name == "intent"


async def test_deadlines_end_calls(running: Running) -> None:
    """Also one that the request itself sets, in microseconds, as Triton's clients do."""
    request = ask("intent", "a")
    request.parameters["timeout"].int64_param = 1
    error = await refused(running.stub.ModelInfer(request))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    error = await refused(running.stub.ModelInfer(ask("intent", *[sentence(20, 0)] * 1000), timeout=0.001))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_statistics_reconcile_with_the_calls_made(running: Running) -> None:
    """success + fail = calls; rows are counted; passes are fewer than calls made at once."""
    good = [running.stub.ModelInfer(ask("intent", *[sentence(3, i)] * 2)) for i in range(30)]
    bad = [running.stub.ModelInfer(ask("intent", "")) for _ in range(4)]
    await asyncio.gather(*good, *bad, return_exceptions=True)
    (found,) = (await running.stub.ModelStatistics(oip.ModelStatisticsRequest(name="intent"))).model_stats
    assert (found.inference_stats.success.count, found.inference_stats.fail.count) == (30, 4)
    assert found.inference_stats.queue.count == found.inference_stats.compute_infer.count == 30
    assert found.inference_count == 60
    warm_up = 1
    assert 1 + warm_up <= found.execution_count <= 30
    assert sum(each.batch_size * each.compute_infer.count for each in found.batch_stats) == 60 + 3 * warm_up
    assert abs(found.last_inference / 1000 - time.time()) < 60
    everything = (await running.stub.ModelStatistics(oip.ModelStatisticsRequest())).model_stats
    assert [each.name for each in everything] == ["imaging", "intent", "risk"]


async def test_two_models_share_one_encoder_and_one_pass(running: Running) -> None:
    """One base in memory, and rows of both in the same forward pass, each with its own heads."""
    batches: list[set[str]] = []
    count = running.engine.on_batch

    def watch(batch: object, seconds: float) -> None:
        batches.append({unit.owner.model.name for unit in batch.units})  # type: ignore[attr-defined]
        count(batch, seconds)  # type: ignore[arg-type]

    running.engine.on_batch = watch
    calls = [
        running.stub.ModelInfer(ask(model, *[sentence(12, i)] * 30)) for i in range(12) for model in ("intent", "risk")
    ]
    answers = await asyncio.gather(*calls)
    assert {"intent", "risk"} in batches
    intent = running.registry.find("intent")._branches["*"].encoder  # type: ignore[attr-defined]
    assert intent is running.registry.find("risk")._branches["*"].encoder  # type: ignore[attr-defined]
    for index, response in enumerate(answers):
        model = ("intent", "risk")[index % 2]
        alone = tensors(await running.stub.ModelInfer(ask(model, sentence(12, index // 2))))
        for name, tensor in tensors(response).items():
            if name != "truncated":
                np.testing.assert_allclose(np.asarray(tensor)[0], np.asarray(alone[name])[0], atol=1e-5)


async def test_a_stream_answers_in_order_and_survives_bad_requests(running: Running) -> None:
    """An error is a message of its own; the stream goes on."""

    async def requests() -> "asyncio.AsyncIterator[oip.ModelInferRequest]":  # type: ignore[name-defined]
        for i in range(50):
            request = ask("intent" if i % 10 else "nothing", sentence(1 + i % 9, i))
            request.id = str(i)
            yield request

    answers = [answer async for answer in running.stub.ModelStreamInfer(requests())]
    assert [answer.infer_response.id for answer in answers] == [str(i) for i in range(50)]
    assert [i for i, answer in enumerate(answers) if answer.error_message] == [0, 10, 20, 30, 40]
    assert answers[0].error_message.startswith("MODEL_NOT_FOUND: ")


@pytest.mark.parametrize("on", [True, False])
async def test_reflection_only_when_asked_for(store: Store, on: bool) -> None:
    """Off, nobody learns what there is to call."""
    async with serving(Settings(models=store.place, reflection=on), Turning()) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]))
            if on:
                (answer,) = [each async for each in call]
                names = {service.name for service in answer.list_services_response.service}
                assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert not (await server.stub.ServerReady(oip.ServerReadyRequest())).ready
