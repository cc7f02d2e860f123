"""What nobody expected to go wrong: the caller learns where to look, the log what it was."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from protos import inference_pb2 as oip
from services.inference import reading, servicer
from tests.inference.conftest import Running
from tests.inference.test_server import ask, detail, refused

SECRET = "4111 1111 1111 1111"


def fail(*_: Any, **__: Any) -> Any:
    raise LookupError(SECRET)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """The one error's message."""
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])
    return record.getMessage()


async def test_a_call_that_fails_unexpectedly_says_where_not_what(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """INTERNAL, a fixed reason, and a mark that the log has too; the call counts as failed."""
    with monkeypatch.context() as patch:
        patch.setattr(servicer, "choose", fail)
        error = await refused(running.stub.ModelInfer(ask("intent", "my card")))
    assert error.code() == grpc.StatusCode.INTERNAL
    info = detail(error, error_details_pb2.ErrorInfo)
    assert info.reason == "UNEXPECTED"  # type: ignore[attr-defined]
    mark = info.metadata["log"]  # type: ignore[attr-defined]
    assert mark in error.details()
    assert logged(caplog) == f"ModelInfer failed ({mark})"
    assert SECRET not in f"{error.details()}{error.trailing_metadata()}"
    assert running.registry.records["intent", "v1"].fail.count == 1
    assert (await running.stub.ModelInfer(ask("intent", "my card"))).model_name == "intent"


async def test_a_stream_goes_on_after_what_nobody_expected(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the one request has no answer."""
    respond = servicer._respond

    def fail_once(request: oip.ModelInferRequest, *others: Any) -> oip.ModelInferResponse:
        return fail() if request.id == "1" else respond(request, *others)

    monkeypatch.setattr(servicer, "_respond", fail_once)

    async def requests() -> AsyncIterator[oip.ModelInferRequest]:
        for i in range(3):
            request = ask("intent", "my card")
            request.id = str(i)
            yield request

    answers = [answer async for answer in running.stub.ModelStreamInfer(requests())]
    assert [bool(answer.error_message) for answer in answers] == [False, True, False]
    mark = answers[1].error_message.rpartition(" ")[2]
    assert logged(caplog) == f"ModelStreamInfer failed ({mark})"
    assert SECRET not in answers[1].error_message


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelStatistics", "ModelReady"])
async def test_no_method_tells_an_exceptions_text(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """Also those that have no handling of their own."""
    monkeypatch.setattr(type(running.registry), "find", fail)
    request = {
        "ModelMetadata": oip.ModelMetadataRequest(name="intent"),
        "ModelStatistics": oip.ModelStatisticsRequest(name="intent"),
        "ModelReady": oip.ModelReadyRequest(name="intent"),
    }[method]
    error = await refused(getattr(running.stub, method)(request))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert SECRET not in str(error.details())
    assert logged(caplog).startswith(f"{method} failed (")


async def test_who_has_gone_is_told_nothing_and_leaves_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal that gRPC can no longer deliver is gRPC's to drop, which does so silently: it is no fault of the server's."""

    async def answer(request: Any, context: Any) -> Any:
        raise grpc.aio.InternalError("execute_batch failed")

    with pytest.raises(grpc.aio.InternalError):
        await reading._guard_call("ModelInfer", answer)(oip.ModelInferRequest(), None)
    assert caplog.records == []
