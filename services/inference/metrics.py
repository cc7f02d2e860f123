"""Every metric of the inference service is named here."""

from opentelemetry import metrics

_meter = metrics.get_meter("tidemill.inference")

calls = _meter.create_counter(
    "tidemill.inference.calls", "{call}", "ModelInfer calls by model, and whether they were answered"
)
waited = _meter.create_histogram("tidemill.inference.wait", "s", "of a call for its first pass through the device")
passes = _meter.create_histogram("tidemill.inference.pass", "s", "one pass through the device")
rows = _meter.create_histogram("tidemill.inference.batch", "{row}", "rows of one pass")
waiting = _meter.create_gauge("tidemill.inference.waiting", "{row}", "rows that no pass has taken yet")
