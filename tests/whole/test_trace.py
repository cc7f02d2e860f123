"""One trace from the producer's header through the stream and inference into the database."""

import asyncio
import secrets
import time

from bench.local import Local
from protos import intent_pb2
from shared.event import Key
from tests.whole.conftest import Spans
from tests.whole.sending import PATIENCE, Event, new_source, outcomes, put


async def test_event_inference_and_database_are_one_trace(stack: Local, collector: tuple[str, Spans]) -> None:
    """The producer's trace id is on the span that processes the event, on inference's, on the database's, in the row and in the result."""
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    header = ("traceparent", f"00-{trace}-{parent}-01".encode())
    event = Event(
        Key("intent", new_source(), "traced"),
        intent_pb2.IntentRequest(text="Where is my parcel?", language="en"),
        headers=[header],
    )
    await put(stack, [event])
    row = (await outcomes(stack, [event.key]))[event.key]
    assert row["trace_id"] == trace
    assert intent_pb2.IntentResult.FromString(row["body"]).answer.trace_id == trace
    _, spans = collector
    deadline = time.monotonic() + PATIENCE
    while not exported(spans, trace):
        assert time.monotonic() < deadline, [f"{service}: {span.name}" for service, span in spans.of(trace)]
        await asyncio.sleep(0.2)
    found = spans.of(trace)
    process = next(span for service, span in found if service == "intent" and span.parent_span_id.hex() == parent)
    assert any(service == "intent" and "write" in span.name for service, span in found), "the database's span"
    known = {span.span_id for _, span in found} | {bytes.fromhex(parent)}
    served = [span for service, span in found if service == "inference"]
    assert all(span.parent_span_id in known for span in served)
    assert process.span_id in known


def exported(spans: Spans, trace: str) -> bool:
    """Whether both services' spans have come, and the database's, which a process may export later than its others."""
    found = spans.of(trace)
    return {"intent", "inference"} <= {service for service, _ in found} and any(
        "write" in span.name for _, span in found
    )


async def test_a_batch_is_linked_to_its_events(stack: Local, collector: tuple[str, Spans]) -> None:
    """The one transaction of a batch names the traces of all its events: as its own, or by links."""
    traces = [secrets.token_hex(16) for _ in range(8)]
    source = new_source()
    events = [
        Event(
            Key("intent", source, f"e-{number}"),
            intent_pb2.IntentRequest(text=f"my order {number} is late", language="en"),
            headers=[("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01".encode())],
        )
        for number, trace in enumerate(traces)
    ]
    await put(stack, events)
    await outcomes(stack, [event.key for event in events])
    _, spans = collector
    deadline = time.monotonic() + PATIENCE
    while missing := set(traces) - written(spans):
        assert time.monotonic() < deadline, f"{len(missing)} traces without a database span"
        await asyncio.sleep(0.2)


def written(spans: Spans) -> set[str]:
    """The traces that a transaction's span belongs to, or is linked to."""
    found = [span for _, span in list(spans.taken) if "write" in span.name]
    return {span.trace_id.hex() for span in found} | {link.trace_id.hex() for span in found for link in span.links}
