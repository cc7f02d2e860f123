"""One trace from the producer through either door to the database."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from tests.listening import listening
from tests.serving.client import Client
from tests.stack import Stack, headers, request, wait_until


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):  # type: ignore[misc]
    """An OTLP endpoint that remembers spans and the names of metrics."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: set[str] = set()
        self.services: set[str] = set()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        if isinstance(request, metrics_service_pb2.ExportMetricsServiceRequest):
            scopes = [scope for each in request.resource_metrics for scope in each.scope_metrics]
            self.metrics |= {metric.name for scope in scopes for metric in scope.metrics}
            return metrics_service_pb2.ExportMetricsServiceResponse()
        for each in request.resource_spans:
            self.services |= {a.value.string_value for a in each.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def named(self, name: str, trace: str) -> Any:
        """A span of this name in the trace, or linked to it."""
        wanted = bytes.fromhex(trace)
        for span in self.spans:
            if span.name == name and (span.trace_id == wanted or any(link.trace_id == wanted for link in span.links)):
                return span
        return None


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, dict[str, str]]]:
    made = Receiver()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(made, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(made, server)
    with listening(server) as address:
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }
        yield made, told


def test_events_of_a_stream(stack: Stack, receiver: tuple[Receiver, dict[str, str]]) -> None:
    """Each event's span continues its producer's trace; the batch's one write is part of it or linked to it."""
    remembered, told = receiver
    sent = [(secrets.token_hex(16), secrets.token_hex(8)) for _ in range(5)]
    with stack.run("stream", **told) as worker:
        stack.send(
            [
                (b"c", request("slow 0.1"), headers(str(n), traceparent=f"00-{trace}-{span}-01".encode()))
                for n, (trace, span) in enumerate(sent)
            ]
        )
        stack.read("results", 5)
        for trace, span in sent:
            name = f"process {stack.requests}"
            found = wait_until(lambda name=name, trace=trace: remembered.named(name, trace), "the event's span")
            assert (found.trace_id.hex(), found.parent_span_id.hex()) == (trace, span)
            assert wait_until(lambda trace=trace: remembered.named("write outcomes", trace), "the database's span")
        wait_until(lambda: {"messaging.client.consumed.messages", "tidemill.outcomes"} <= remembered.metrics, "metrics")
        assert worker.terminate() == 0
    assert remembered.services == {stack.name}
    stored = {row["trace_id"] for row in stack.rows("SELECT trace_id FROM outcomes WHERE domain = $1")}
    assert stored == {trace for trace, _ in sent}


def test_a_call(stack: Stack, receiver: tuple[Receiver, dict[str, str]]) -> None:
    """The server's span is the caller's child; handler and database are below it."""
    remembered, told = receiver
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    with stack.run("serve", **told) as process:
        client = Client(stack, process.await_serving())
        metadata = (("traceparent", f"00-{trace}-{span}-01"),)
        assert client.classify("hello", "1", metadata=metadata).result.answer.trace_id == trace
        client.channel.close()
        name = f"tidemill.{stack.name}.v1.{stack.name.capitalize()}Service/Classify"
        server = wait_until(lambda: remembered.named(name, trace), "the server's span")
        assert server.parent_span_id.hex() == span
        for below in (f"handle {stack.name}", "write outcomes"):
            found = wait_until(lambda below=below: remembered.named(below, trace), below)
            assert found.parent_span_id == server.span_id
        assert process.terminate() == 0
