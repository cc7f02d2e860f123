"""A domain's gRPC service as a test calls it: under the test's own domain name, so without a generated stub."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos import event_pb2, intent_pb2
from tests.stack import Process, Stack


class Client:
    def __init__(self, stack: Stack, process: Process) -> None:
        self.channel = grpc.insecure_channel(process.listen)
        self._service = f"/tidemill.{stack.name}.v1.{stack.name.capitalize()}Service"

    def unary(self, method: str, request: Any, reply: Any = intent_pb2.IntentReply, **options: Any) -> Any:
        """Calls with any message, or with raw bytes."""
        send = self.channel.unary_unary(f"{self._service}/{method}", serialise, reply.FromString)
        return send(request, **{"timeout": 60, **options})

    def classify(self, text: str, id: str = "", **options: Any) -> Any:  # noqa: A002 - CloudEvents' own name
        return self.unary("Classify", call(text, id), **options)

    def batch(self, calls: Iterable[intent_pb2.IntentCall], **options: Any) -> Any:
        batch = intent_pb2.IntentBatch(calls=calls)
        return self.unary("ClassifyBatch", batch, intent_pb2.IntentReplies, **options).replies

    def stream(self, calls: Iterator[Any], **options: Any) -> Any:
        open_stream = self.channel.stream_stream(
            f"{self._service}/ClassifyStream", serialise, intent_pb2.IntentReply.FromString
        )
        return open_stream(calls, **{"timeout": 60, **options})

    def outcome(self, id: str, source: str = "shop") -> Any:  # noqa: A002 - CloudEvents' own name
        return self.unary("GetOutcome", event_pb2.Event(source=source, id=id))


def serialise(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def call(text: str, id: str = "", source: str = "shop", **more: Any) -> intent_pb2.IntentCall:  # noqa: A002 - CloudEvents' own name
    event = event_pb2.Event(source=source, id=id, **more)
    return intent_pb2.IntentCall(event=event, request=intent_pb2.IntentRequest(text=text))


@contextmanager
def refused(code: grpc.StatusCode) -> Iterator[list[Any]]:
    """The call in the block ends with this status; yields its google.rpc details, once it has."""
    details: list[Any] = []
    with pytest.raises(grpc.RpcError) as raised:
        yield details
    assert raised.value.code() == code, raised.value.details()
    status = rpc_status.from_call(raised.value)
    kinds = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    for detail in status.details if status else ():
        details += [kind.FromString(detail.value) for kind in kinds if detail.Is(kind.DESCRIPTOR)]
