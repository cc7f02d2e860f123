"""What one caller may do to others, and what statistics say of it, over a real channel."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from protos import inference_pb2 as oip
from services.inference import metrics
from shared.settings import Settings
from tests.inference.bundles import publish_text, sentence
from tests.inference.conftest import INTENT, Running, Store, Turning, serving, until
from tests.inference.test_server import ask, detail, tensors

LARGE = 1 << 20


@pytest.fixture
async def caching(store: Store) -> AsyncIterator[Running]:
    """A server with a cache."""
    ledger = Turning()
    ledger.point("intent", "v1", store.digests["intent"])
    async with serving(Settings(models=store.place, cache_bytes=LARGE), ledger) as server:
        await until(lambda: server.registry.ready)
        yield server


async def statistics(server: Running, version: str = "v1") -> oip.ModelStatistics:
    (found,) = (
        await server.stub.ModelStatistics(oip.ModelStatisticsRequest(name="intent", version=version))
    ).model_stats
    return found


async def test_a_caller_over_its_quota_is_told_so_and_counted(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESOURCE_EXHAUSTED, its reason, whose quota and when to come back; a metric names it; another caller is answered."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "_callers", set())  # this process may have served many others
    monkeypatch.setattr(metrics, "refused", provider.get_meter("test").create_counter("refused"))
    running.engine.admission.caller_rows = 100
    flood = [
        running.stub.ModelInfer(ask("intent", *[sentence(20, i)] * 80), metadata=(("tidemill-caller", "flood"),))
        for i in range(6)
    ]
    modest = running.stub.ModelInfer(ask("intent", *[sentence(20, 9)] * 80), metadata=(("tidemill-caller", "modest"),))
    ended = await asyncio.gather(*flood, return_exceptions=True)
    errors = [each for each in ended if isinstance(each, grpc.aio.AioRpcError)]
    assert 0 < len(errors) < 6
    assert (await modest).model_name == "intent"
    for error in errors:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        info = detail(error, error_details_pb2.ErrorInfo)
        assert (info.reason, info.metadata["caller"]) == ("CALLER_QUOTA", "flood")  # type: ignore[attr-defined]
        assert detail(error, error_details_pb2.RetryInfo).retry_delay.ToNanoseconds() > 0  # type: ignore[attr-defined]
    data = reader.get_metrics_data()
    assert data is not None
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert point.value == len(errors)  # type: ignore[union-attr]
    assert dict(point.attributes or {}) == {"tidemill.caller": "flood", "tidemill.reason": "CALLER_QUOTA"}
    provider.shutdown()


async def test_callers_past_a_number_of_them_are_one_in_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """They name themselves: a metric must not grow with their fancy."""
    monkeypatch.setattr(metrics, "_callers", set())
    names = {metrics.name_caller(str(i)) for i in range(10_000)}
    assert len(names) == metrics.MAX_CALLERS + 1
    assert metrics.name_caller("3") == "3"


async def test_cached_rows_are_answered_the_same_and_counted_apart(caching: Running) -> None:
    """Hits and misses are the rows of successful calls; what was computed is in the batches, and no more."""
    texts = [sentence(1 + i, i) for i in range(20)]
    first = tensors(await caching.stub.ModelInfer(ask("intent", *texts)))
    again = tensors(await caching.stub.ModelInfer(ask("intent", *texts[5:], "refund please")))
    for name, tensor in first.items():
        np.testing.assert_array_equal(np.asarray(tensor)[5:], np.asarray(again[name])[:15])
    await caching.stub.ModelInfer(ask("intent", *texts))
    found = await statistics(caching)
    stats = found.inference_stats
    assert (stats.success.count, stats.fail.count) == (3, 0)
    assert (stats.cache_hit.count, stats.cache_miss.count) == (35, 21)
    assert stats.cache_hit.ns > 0
    assert found.inference_count == 21
    assert stats.queue.count == stats.compute_infer.count == 2
    warm_up = 3
    assert sum(each.batch_size * each.compute_infer.count for each in found.batch_stats) == 21 + warm_up


async def test_a_new_version_answers_for_itself(caching: Running, store: Store) -> None:
    """What the old one answered is not repeated, nor is the new one's when the old one comes back."""
    request = ask("intent", "where is my card")
    old = await caching.stub.ModelInfer(request)
    digest = publish_text(store.scratch, store.place, "intent", "v2", {"*": store.encoder}, INTENT, seed=9)
    caching.ledger.point("intent", "v2", digest)
    await caching.until_live("intent", "v2")
    new = await caching.stub.ModelInfer(request)
    assert new.model_version == "v2"
    assert new.raw_output_contents[0] != old.raw_output_contents[0]
    assert (await statistics(caching, "v2")).inference_stats.cache_miss.count == 1
    caching.ledger.point("intent", "v1", store.digests["intent"])
    await caching.until_live("intent", "v1")
    assert (await caching.stub.ModelInfer(request)).raw_output_contents == old.raw_output_contents
    assert (await statistics(caching)).inference_stats.cache_hit.count == 1
