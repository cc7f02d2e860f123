"""Every metric of the inference service is named here."""

from opentelemetry import metrics

_meter = metrics.get_meter("tidemill.inference")

calls = _meter.create_counter(
    "tidemill.inference.calls", "{call}", "ModelInfer calls by model, and whether they were answered"
)
refused = _meter.create_counter("tidemill.inference.refused", "{call}", "calls by caller and the reason they were told")
waited = _meter.create_histogram("tidemill.inference.wait", "s", "of a call for its first pass through the device")
passes = _meter.create_histogram("tidemill.inference.pass", "s", "one pass through the device")
busy = _meter.create_counter(
    "tidemill.inference.busy", "s", "of the whole device in passes: its rate is the share of the device that is busy"
)
rows = _meter.create_histogram("tidemill.inference.batch", "{row}", "rows of one pass")
padding = _meter.create_histogram(
    "tidemill.inference.padding", "1", "share of one pass's computation that gave rows of different lengths one shape"
)
shed = _meter.create_counter(
    "tidemill.inference.shed", "{row}", "rows by priority that were not computed, as they would have come too late"
)
recalled = _meter.create_counter(
    "tidemill.inference.recalled", "{row}", "rows by model, and whether the cache had them"
)
waiting = _meter.create_gauge("tidemill.inference.waiting", "{row}", "rows that no pass has taken yet")

MAX_CALLERS = 256
_callers: set[str] = set()


def name_caller(caller: str) -> str:
    """The caller as an attribute: callers name themselves, so past a number of them the rest are one."""
    if caller not in _callers and len(_callers) >= MAX_CALLERS:
        return "other"
    _callers.add(caller)
    return caller
