"""One whole stack for the session: every server, every process, models quickly made. `-m "not stack"` does without."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from bench import prior
from bench.local import ROOT, Local, running
from shared.settings import Settings

QUICK = "quick-1"  # what bench.quick calls its versions; importing it would import torch
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.stack)


class Spans(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes what every process of the stack exports by OTLP, as a collector would."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, trace_pb2.Span]] = []  # (service, span)

    def Export(  # noqa: N802 - OTLP's own name
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
            for scope in resource.scope_spans:
                self.taken += [(names[0] if names else "", span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of(self, trace_id: str) -> list[tuple[str, trace_pb2.Span]]:
        return [(service, span) for service, span in self.taken if span.trace_id.hex() == trace_id]


class Meters(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes the metrics too, so that no exporter complains."""

    def Export(  # noqa: N802 - OTLP's own name
        self, request: metrics_service_pb2.ExportMetricsServiceRequest, context: grpc.ServicerContext
    ) -> metrics_service_pb2.ExportMetricsServiceResponse:
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture(scope="session")
def collector() -> Iterator[tuple[str, Spans]]:
    """(address, what it has taken) of an OTLP receiver in this process."""
    spans = Spans()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(spans, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Meters(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", spans
    server.stop(1).wait()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, collector: tuple[str, Spans]) -> Iterator[Local]:
    """The whole stack, ready, with telemetry on and models of the starters' architectures live."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector[0]}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
    }
    data = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "-m", "bench.quick", str(data / "models")]
    making = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)  # while the servers come up
    with making, running(data, "--no-starters", environment=environment) as stack:
        made = json.loads(making.communicate(timeout=600)[0])
        settings = Settings(postgres=stack.address("postgres"), models=data / "models")
        for model, digest in made.items():
            prior.promote(settings, model, QUICK, digest)
        wait_ready(stack)
        yield stack


def wait_ready(stack: Local, within: float = 180) -> None:
    """Returns once inference serves what was promoted."""
    deadline = time.monotonic() + within
    while not (process := stack.status()["processes"]["inference"])["ready"]:
        assert time.monotonic() < deadline, process["missing"]
        time.sleep(0.5)
