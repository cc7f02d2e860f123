"""The synchronous door, as a process on real servers."""

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from protos import event_pb2, intent_pb2
from tests.stack import Process, Stack


class Client:
    """The domain's service, under the test's own name."""

    def __init__(self, stack: Stack, process: Process) -> None:
        self.channel = grpc.insecure_channel(process.listen)
        self._service = f"/tidemill.{stack.name}.v1.{stack.name.capitalize()}Service"

    def unary(self, method: str, request, reply=intent_pb2.IntentReply, **options):
        call = self.channel.unary_unary(
            f"{self._service}/{method}", lambda message: message.SerializeToString(), reply.FromString
        )
        return call(request, **{"timeout": 30, **options})

    def classify(self, text: str, id: str = "", **options):  # noqa: A002 - CloudEvents' own name
        return self.unary("Classify", call(text, id), **options)


def call(text: str, id: str = "", source: str = "shop") -> intent_pb2.IntentCall:  # noqa: A002 - CloudEvents' own name
    return intent_pb2.IntentCall(
        event=event_pb2.Event(source=source, id=id), request=intent_pb2.IntentRequest(text=text)
    )


@pytest.fixture
def server(stack: Stack):
    with stack.run("serve") as process:
        yield process.await_serving()


@pytest.fixture
def client(stack: Stack, server: Process):
    made = Client(stack, server)
    yield made
    made.channel.close()


def test_a_call_is_answered_and_projected(stack: Stack, client: Client) -> None:
    """The answer comes at once, an id is made where there was none, and the result reaches its topic."""
    reply = client.classify("hello")
    assert reply.result.intent == "hello"
    assert reply.event.id
    assert not reply.known
    [record] = stack.read("results", 1)
    assert record.value == reply.result.SerializeToString()


def test_the_same_call_again_is_known(client: Client) -> None:
    """The stored outcome is given again, and GetOutcome finds it too."""
    first, again = client.classify("hello", "1"), client.classify("hello", "1")
    assert again.known
    assert again.result == first.result
    found = client.unary("GetOutcome", event_pb2.Event(source="shop", id="1"))
    assert found.result == first.result


def test_another_payload_with_the_same_id_is_refused(client: Client) -> None:
    """ALREADY_EXISTS, with a reason for programs, and nothing of the first event."""
    client.classify("hello", "1")
    with pytest.raises(grpc.RpcError) as raised:
        client.classify("something else", "1")
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS
    status = rpc_status.from_call(raised.value)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert info.reason == "ID_REUSED"


def test_a_dead_letter_is_stored_and_named(client: Client) -> None:
    """INVALID_ARGUMENT names the field, and the same key gives the same refusal again."""
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as raised:
            client.classify("reject", "1")
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        status = rpc_status.from_call(raised.value)
        violations = error_details_pb2.BadRequest()
        status.details[1].Unpack(violations)
        assert violations.field_violations[0].field == "text"
