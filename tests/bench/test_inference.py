"""The measurement of the inference service does what it says, on models of no size; what it measures here means nothing."""

import argparse
import json
from pathlib import Path
from xml.etree import ElementTree

import grpc
import pytest

from bench.bare import Bare
from bench.inference import plot, report
from bench.inference.__main__ import run
from bench.inference.callers import perform
from bench.inference.ground import Figures, Size
from bench.inference.models import INTENT, Models, Pointer
from bench.inference.traffic import Heard, Stream, Told, quantile
from protos import inference_pb2 as oip
from shared.settings import Settings
from tests.inference.bundles import publish_encoder, publish_prior, publish_text, sentence
from tests.inference.conftest import Turning, serving, until

LABELS = {"intent": ["card_lost", "refund", "parcel_late"]}
TEXTS = [f"{sentence(1 + number % 9, number)} {number}" for number in range(160)]


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """The three models that are measured, too small to take time."""
    store = tmp_path / "models"
    encoder = publish_encoder(tmp_path, store)
    made = Models(store, "made for a test", TEXTS, [number % 3 for number in range(len(TEXTS))])
    digests = {
        "intent": publish_text(tmp_path, store, "intent", "v1", {"*": encoder}, LABELS),
        "topic": publish_text(tmp_path, store, "topic", "v1", {"*": encoder}, {"topic": ["card", "other"]}, seed=2),
        "imaging": publish_prior(tmp_path, store, "imaging", "v1", {"normal": 0.5, "opacity": 0.5}),
    }
    made.live = {model: Pointer("v1", digest) for model, digest in digests.items()}
    return made


@pytest.mark.stack
def test_it_measures_everything_and_writes_it_down(
    models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real processes, from the bare loop to the swap, then the lines, the JSON and the plot."""
    size = Size(rounds=1, texts=128, singles=3, seconds=0.4, loads=(0.2,), fitted=0, pressures=1)
    given = argparse.Namespace(seed=7, precisions=["fp32"], processes=1)
    run(models, tmp_path, size, given, ["here", "now"])
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    for name in ("fp32_rows64_ratio", "fp32_unary64_ratio", "fp32_overload_stat_hit_rate", "fp32_swap_failed_calls"):
        assert f"RESULT bench_inference_{name}=" in said
        assert results["lines"][name]["values"]
    assert results["figures"]["fp32_swap_failed_calls"] == [0]
    assert 0 <= results["accuracy"]["fp32"] <= 100
    assert ElementTree.parse(tmp_path / "latency.svg").getroot().tag.endswith("svg")


async def test_callers_send_what_they_are_told(models: Models) -> None:
    """Closed streams every call once, open ones about their rate; rows are told apart, and a call without time fails."""
    ledger = Turning()
    for model, pointer in models.live.items():
        ledger.point(model, pointer.version, pointer.digest)
    closed = Stream(INTENT, 4, clients=3, calls=5, first=2, labels=True)
    streams = [closed, Stream("imaging", 2, rate=50.0, image=8), Stream(INTENT, rate=20.0, deadline=-1.0)]
    job = {
        "streams": [{name: getattr(each, name) for name in each.__slots__} for each in streams],
        "seconds": 0.5,
        "seed": 1,
    }
    async with serving(Settings(models=models.store), ledger) as server:
        await until(lambda: server.registry.ready)
        async with grpc.aio.insecure_channel(server.address) as channel:
            method = "/inference.GRPCInferenceService/ModelInfer"
            infer = channel.unary_unary(method, None, oip.ModelInferResponse.FromString)
            raw = await perform(job, TEXTS[:16], infer)
    texts, images, late = (Heard.read(stream, each) for stream, each in zip(streams, raw, strict=True))
    assert (len(texts.calls), texts.answered, texts.failed) == (5, 20, [])
    assert {call.version for call in texts.calls} == {"v1"}
    assert texts.labels.keys() == set(range(16))  # 20 rows from the third on, going round
    assert set(texts.labels.values()) <= {0, 1, 2}
    assert images.calls
    assert not images.failed
    assert set(late.failed) == {"DEADLINE_EXCEEDED"}


def test_the_order_of_a_loop_changes_no_answer(models: Models) -> None:
    """Sorted or not, one by one or in batches: each text has its own answer."""
    bare = Bare(models.store, "v1")
    arrival = bare.round(TEXTS[:40])
    assert len(arrival.batches) == 2
    assert bare.round(TEXTS[:40], window=40).answers == arrival.answers
    assert bare.round(TEXTS[:40], window=16).answers == arrival.answers
    assert bare.round(TEXTS[:40], batch=1).answers == arrival.answers


@pytest.mark.parametrize("of", [1, 2, 3, 5])
def test_processes_share_a_stream_without_loss(of: int) -> None:
    """All clients, all calls, all of the rate; no text twice."""
    stream = Stream(INTENT, 8, clients=3, rate=12.0, calls=31, first=5)
    shares = [stream.share(number, of) for number in range(of)]
    assert sum(each.clients for each in shares) == 3
    assert sum(each.calls for each in shares) == 31
    assert sum(each.rate for each in shares) == pytest.approx(12)
    assert all(bool(each.clients) == bool(each.calls) for each in shares)
    starts = [each.first + 8 * call for each in shares for call in range(each.calls)]
    assert starts == [5 + 8 * call for call in range(31)]


def test_a_quantile_is_a_value_that_was_seen() -> None:
    """Of 100 values, p99 is the second largest; of none it is not a number."""
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2
    assert quantile([], 0.5) != quantile([], 0.5)


def test_rates_count_answered_rows_alone() -> None:
    """Two calls of 4 rows in 2 seconds, one of them refused."""
    heard = Heard(Stream(INTENT, 4), [Told(10.0, 1.0, "OK", "v1"), Told(11.0, 1.0, "RESOURCE_EXHAUSTED")])
    assert heard.rate() == 2
    assert heard.failed == ["RESOURCE_EXHAUSTED"]
    assert heard.latency(0.99) == 1


def test_a_goal_is_judged_by_the_median() -> None:
    """At least, or at most; and told in words."""
    assert report.Line("n", "s", [1.0, 2.0, 1.8], 1.7).verdict == "goal >= 1.7: met"
    assert report.Line("n", "s", [3.0, 2.0, 2.5], 2.0, True, " ms").verdict == "goal <= 2 ms: MISSED"
    assert report.Line("n", "s", [3.0]).verdict == ""


def test_ratios_pair_the_values_of_a_round() -> None:
    """What slows both of a round does not move their ratio."""
    figures = Figures()
    for bare, server in ((100.0, 200.0), (50.0, 100.0)):
        figures.note("bare", bare)
        figures.note("server", server)
    assert figures.ratios("server", "bare") == [2, 2]


def test_the_plot_shows_each_precision_twice() -> None:
    """p50 and p99; loads that nothing answered are left out; without any there is no plot."""
    point = {"times_fifo32": 0.5, "p50_ms": 4.0, "p99_ms": 20.0}
    nothing = {"times_fifo32": 1.5, "p50_ms": float("nan"), "p99_ms": float("nan")}
    drawn = plot.draw({"fp32": [point, {**point, "times_fifo32": 1.0}, nothing], "bf16": [point]}, "a <title>")
    lines = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 4
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 2, 1, 1]
    with pytest.raises(ValueError, match="nothing to draw"):
        plot.draw({"fp32": [nothing]}, "")
