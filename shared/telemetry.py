"""Traces and metrics by OpenTelemetry. Without OTEL_EXPORTER_OTLP_ENDPOINT everything here is a cheap no-op.

W3C trace context travels in Kafka headers and gRPC metadata; this module is the only one that reads or writes it.
"""

import os
import random
import re
from collections.abc import Iterable
from functools import cache

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link

from shared.event import Headers

_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_CARRIED = ("traceparent", "tracestate")

tracer = trace.get_tracer("tidemill")
_meter = metrics.get_meter("tidemill")

# Every metric of the streamed and the synchronous path is named here.
consumed = _meter.create_counter(
    "messaging.client.consumed.messages", "{message}", "records taken from a request topic"
)
sent = _meter.create_counter("messaging.client.sent.messages", "{message}", "records published")
process_duration = _meter.create_histogram(
    "messaging.process.duration", "s", "from taking a batch to its acknowledgement"
)
outcomes = _meter.create_counter("tidemill.outcomes", "{event}", "events settled, by kind and reason")
batch_size = _meter.create_histogram("tidemill.batch", "{event}", "events settled at once")
retries = _meter.create_counter("tidemill.retries", "{try}", "tries that found a dependency down")
oldest = _meter.create_gauge("tidemill.lag.age", "s", "age of the oldest event in the batch when it was taken")
calls = _meter.create_counter("tidemill.calls", "{call}", "gRPC events accepted, settled and returned")


@cache
def enabled() -> bool:
    """Whether this process was told where to send traces and metrics; asked several times an event."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def start(service: str, instance: str = "") -> None:
    """Send traces and metrics to OTEL_EXPORTER_OTLP_ENDPOINT, if it is set; the SDK is not even imported otherwise.

    Args:
        instance: tells processes of one service apart where a machine runs several: their counters must not be taken for one.
    """
    if not enabled():
        return
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {"service.instance.id": instance} if instance else {}
    resource = Resource.create({"service.name": service, "service.namespace": "tidemill", **named})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(
        MeterProvider(resource=resource, metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter())])
    )


def stop() -> None:
    """Send what is still buffered."""
    for provider in (trace.get_tracer_provider(), metrics.get_meter_provider()):
        shutdown = getattr(provider, "shutdown", None)
        if shutdown is not None:
            shutdown()


def trace_id(headers: Headers) -> str:
    """The trace that these headers continue, as 32 hex digits; a new one's where they carry none."""
    for name, value in headers:
        if name == "traceparent" and value is not None:  # Kafka's headers may be null
            found = _TRACEPARENT.fullmatch(value.decode("ascii", "replace"))
            if found and int(found[1], 16):
                return found[1]
    return f"{random.getrandbits(128):032x}"


def extract(carried: Iterable[tuple[str, str | bytes | None]]) -> Context:
    """The context that Kafka headers or gRPC metadata carry."""
    carrier = {
        name: value.decode("ascii", "replace") if isinstance(value, bytes) else value
        for name, value in carried
        if name in _CARRIED and value is not None
    }
    return propagate.extract(carrier) if carrier else Context()


def inject(span: Context | None = None) -> tuple[tuple[str, str], ...]:
    """gRPC metadata (or, encoded, Kafka headers) that carry the given or the current context; empty where there is none."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, span)
    return tuple((name, value) for name, value in carrier.items() if name in _CARRIED)


def links(arrivals: Iterable[Headers]) -> list[Link]:
    """Links to the spans that sent these events."""
    spans = (trace.get_current_span(extract(headers)).get_span_context() for headers in arrivals)
    return [Link(span) for span in spans if span.is_valid]
