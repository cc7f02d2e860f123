"""Thousands of bad requests: each is refused for what is wrong with it, and none harms another."""

import json
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NoReturn

import grpc
import pytest

from bench.attacks import Attacks
from bench.company import Company, company, knowns
from bench.faults import fault
from bench.fuzz import attack
from bench.judging import judge_answer, judge_stream
from bench.mutate import good, mutate, pack
from bench.small import make
from protos import inference_pb2 as oip
from services.inference.refusal import invalid, unknown
from services.inference.served import collect
from services.inference.tensors import choose
from shared.settings import Settings
from tests.inference.conftest import Running, serving, until

REQUESTS = int(os.environ.get("TIDEMILL_FUZZ_REQUESTS", "3000"))
EXPLAINED = {"head": "intent", "label": "refund", "lead": 3.0, "rest": -0.5, "text": [[0, 4, 2.5], [5, 9, 1.0]]}
SEED = int(os.environ.get("TIDEMILL_FUZZ_SEED", "11"))


def stumble(*asked: Any) -> NoReturn:
    raise RuntimeError("a bug")


@pytest.fixture
async def three_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Two text models and an image model that all compute, and remember nothing."""
    monkeypatch.setenv("TIDEMILL_CACHE_BYTES", "0")
    store = tmp_path / "models"
    async with serving(Settings(models=store), make(tmp_path, store)) as server:
        await until(lambda: server.registry.ready or server.lifecycle.done())
        yield server


async def test_bad_requests_harm_nobody(three_networks: Running) -> None:
    """Statuses of ours alone, each with a reason and the field at fault; good requests and rows between them have their usual answers."""
    tally = await attack(three_networks.address, REQUESTS, SEED)
    assert tally.wrong == []
    assert tally.neighbours >= REQUESTS // 12
    assert sum(tally.kinds.values()) == REQUESTS
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", "DEADLINE_EXCEEDED"} <= set(tally.statuses)
    assert min(tally.faults.values()) >= 1
    admission = three_networks.engine.admission
    await until(lambda: admission.rows == admission.bytes == three_networks.engine.waiting == 0)  # some callers left


@pytest.mark.parametrize(
    ("place", "wrong", "said"),
    [
        ("services.inference.tensors._path", lambda tensor: "inputs[other]", "faulty"),
        ("services.inference.servicer.list_errors", lambda rows, errors: [b""] * rows, "row_error"),
        ("services.inference.text.collect", lambda ticket, width: collect(ticket, width)[::-1], "what it is alone"),
        ("services.inference.servicer.choose", lambda *asked: choose(*asked)[::-1], "asked for"),
        ("services.inference.servicer.read_call", stumble, "left: INTERNAL"),
        ("services.inference.refusal.unknown", lambda detail: invalid("MODEL_NOT_FOUND", "x", detail), "faulty"),
    ],
    ids=["another field", "no row_error", "rows turned round", "outputs turned round", "a bug", "another status"],
)
async def test_a_server_with_a_fault_is_found_out(
    three_networks: Running, monkeypatch: pytest.MonkeyPatch, place: str, wrong: Callable[..., Any], said: str
) -> None:
    """Of a few hundred requests."""
    async with grpc.aio.insecure_channel(three_networks.address) as channel:
        attacks = Attacks(channel, three_networks.address, SEED)
        await attacks.learn()
        monkeypatch.setattr(place, wrong)
        monkeypatch.setattr("services.inference.registry.unknown", wrong if "unknown" in place else unknown)
        for number in range(200):
            await attacks.one(number)
        assert any(said in each for each in attacks.tally.wrong)


async def test_damage_to_one_field_is_refused_by_its_name(three_networks: Running) -> None:
    """The field that is named is the one that was changed."""
    for field, change in {
        "inputs[text]": lambda request: setattr(request.inputs[0], "datatype", "FP32"),
        "raw_input_contents": lambda request: request.raw_input_contents.append(b""),
        "parameters[priority]": lambda request: setattr(request.parameters["priority"], "uint64_param", 99),
        "outputs[nothing]": lambda request: request.outputs.add(name="nothing"),
    }.items():
        request = oip.ModelInferRequest(model_name="intent")
        request.inputs.add(name="text", datatype="BYTES", shape=[1])
        request.raw_input_contents.append(b"\x04\0\0\0card")
        change(request)
        with pytest.raises(grpc.aio.AioRpcError, match=field.replace("[", r"\[")) as caught:
            await three_networks.stub.ModelInfer(request)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_no_message_is_refused_and_does_not_end_a_stream(three_networks: Running) -> None:
    """INVALID_ARGUMENT for a call, an error of its own within a stream; no exception's text goes out."""
    garbage = b"\x0a\xff\xff"
    fine = oip.ModelInferRequest(model_name="intent", id="8")
    fine.inputs.add(name="text", datatype="BYTES", shape=[1])
    fine.raw_input_contents.append(b"\x04\0\0\0card")
    async with grpc.aio.insecure_channel(three_networks.address) as channel:
        for method in ("ModelInfer", "ModelReady", "ModelMetadata", "ModelStatistics"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(garbage)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert caught.value.details() == "MESSAGE_UNREADABLE: message: these bytes are no message of this method"
        stream = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            response_deserializer=oip.ModelStreamInferResponse.FromString,
        )
        answers = [each async for each in stream(iter([garbage, fine.SerializeToString()]))]
    assert answers[0].error_message.startswith("MESSAGE_UNREADABLE: ")
    assert answers[1].infer_response.id == "8"


def asked(made: Company) -> list[str]:
    return [each.name for each in oip.ModelInferRequest.FromString(made.raw).outputs]


def answer_company(made: Company, **changed: Any) -> oip.ModelInferResponse:
    """As a server that is right; `changed`: attributions with these fields."""
    response = oip.ModelInferResponse()
    errors = [f"{made.reasons[row]}: x".encode() if row in made.reasons else b"" for row in range(made.rows)]
    explained = [json.dumps(EXPLAINED | changed).encode() if row in made.places else b"" for row in range(made.rows)]
    for name, values in (("attribution", explained), ("row_error", errors)):
        response.outputs.add(name=name, datatype="BYTES", shape=[made.rows])
        response.raw_output_contents.append(pack(values))
    return response


def test_what_is_missing_or_changed_in_company_is_wrong() -> None:
    """No rows, fewer rows, no output that was asked for, other scores or places of an explanation; its last digits may differ."""
    chance = random.Random(2)
    known = knowns(chance)
    for each in known:
        each.outputs = {"attribution": [json.dumps(EXPLAINED).encode()] * len(each.texts)}
    made = next(each for _ in range(99) if asked(each := company(known, chance)) == ["attribution", "row_error"])
    assert made.judge(answer_company(made)) == ""
    assert made.judge(answer_company(made, lead=3.0004, rest=-0.4996)) == ""
    others = [[[0, 4, 2.5], [5, 9, 1.1]], [[0, 4, 2.5]], [[0, 5, 2.5], [5, 9, 1.0]]]
    for changed in ({"rest": 0.5}, {"label": "card"}, *({"text": each} for each in others)):
        assert "what it is alone" in made.judge(answer_company(made, **changed))
    empty, alone, short = oip.ModelInferResponse(), answer_company(made), answer_company(made)
    empty.outputs.add(name="row_error", datatype="BYTES", shape=[0])
    empty.raw_output_contents.append(b"")
    del alone.outputs[0], alone.raw_output_contents[:1]
    short.raw_output_contents[0] = pack([b""])
    assert "asked for" in made.judge(empty)
    assert "asked for" in made.judge(alone)
    assert "holds 1 rows" in made.judge(short)


def test_the_same_seed_makes_the_same_requests() -> None:
    """A failure can be repeated from its seed; what is good is good, and hardly anything mutated is."""
    assert [mutate(random.Random(5)) for _ in range(3)] == [mutate(random.Random(5)) for _ in range(3)]
    chance = random.Random(7)
    made = [mutate(chance) for _ in range(300)]
    assert len(set(made)) == 300
    request = good(chance)
    wrong = oip.ModelInferResponse(id=request.id)
    wrong.outputs.add(name="intent.probabilities", datatype="FP32", shape=[request.inputs[0].shape[0] + 1, 1])
    wrong.raw_output_contents.append(b"")
    assert "rows" in judge_answer(request.SerializeToString(), wrong)
    assert [fault(random.Random(3)) for _ in range(2)] == [fault(random.Random(3))] * 2
    assert company(knowns(random.Random(3)), random.Random(4)) == company(knowns(random.Random(3)), random.Random(4))
    assert "0 responses" in judge_stream([b""], [])
