"""The domains as their protos state them: what can be sent to each, what comes back, how it is called."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

import protos
from shared.named import Named

_NO_DOMAIN = {"event", "inference", "feedback"}
_ORDER = ("conversation", "study", "issuers", "prediction_id")  # fields whose value keeps events in order
_PLAIN = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_DOUBLE}


@dataclass(frozen=True, slots=True)
class Contract(Named):
    """One domain's messages, by the naming rule that every domain follows."""

    request: type[Message]
    result: type[Message]
    call: type[Message]
    reply: type[Message]
    verb: str

    @property
    def text_field(self) -> str:
        """The request's first string field, which a line of text fills; empty for images."""
        first = self.request.DESCRIPTOR.fields[0]
        return first.name if first.type == FieldDescriptor.TYPE_STRING else ""

    @property
    def plain_fields(self) -> tuple[str, ...]:
        """Every field that holds one text or number: what a column of a table can fill."""
        return tuple(f.name for f in self.request.DESCRIPTOR.fields if f.type in _PLAIN and not f.is_repeated)


@cache
def contracts() -> Mapping[str, Contract]:
    """Every domain's contract by name, in alphabetical order."""
    modules = (module.name for module in pkgutil.iter_modules(protos.__path__))
    names = {name.removesuffix("_pb2") for name in modules if name.endswith("_pb2")}
    return {name: _contract(name) for name in sorted(names - _NO_DOMAIN)}


@cache
def feedback() -> Contract:
    """Feedback has the same doors as a domain, one topic for all, and commands of its own."""
    return _contract("feedback", "feedback.v1")


def _contract(name: str, topic: str = "") -> Contract:
    module = importlib.import_module(f"protos.{name}_pb2")
    title = name.capitalize()
    methods = [method.name for method in module.DESCRIPTOR.services_by_name[f"{title}Service"].methods]
    verb = next(method for method in methods if f"{method}Stream" in methods)
    request, result, call, reply = (getattr(module, title + kind) for kind in ("Request", "Result", "Call", "Reply"))
    return Contract(name, request, result, call, reply, verb, topic=topic)


def order(request: Message) -> str:
    """What keeps this request in order among others: its conversation, its study, its first issuer; empty: nothing does."""
    for name in _ORDER:
        if name in request.DESCRIPTOR.fields_by_name and (value := getattr(request, name)):
            return value if isinstance(value, str) else str(value[0])
    return ""
