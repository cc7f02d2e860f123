"""The cases, in the order in which they run: what leaves work behind comes after what counts it."""

from services.cli.conformance.cases import server  # isort: skip
from services.cli.conformance.cases import metadata  # isort: skip
from services.cli.conformance.cases import answers, datatypes, outputs, inputs, contents  # isort: skip
from services.cli.conformance.cases import statistics, streams, calls, load  # isort: skip

__all__ = [
    "answers",
    "calls",
    "contents",
    "datatypes",
    "inputs",
    "load",
    "metadata",
    "outputs",
    "server",
    "statistics",
    "streams",
]
