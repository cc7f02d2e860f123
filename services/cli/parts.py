"""What a local stack consists of: the servers, and the processes of Tidemill with their environment."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from services.cli import health, stack
from services.cli.contract import contracts
from services.cli.local import kafka, port, postgres, valkey
from services.cli.part import Part
from services.cli.stack import PREFIX
from shared import claim

Say = Callable[[str], None]

# variable -> folder, and what makes the server there
SERVERS: Mapping[str, tuple[str, Callable[[Path, Say], Part]]] = {
    "TIDEMILL_KAFKA": ("kafka", kafka.prepare),
    "TIDEMILL_POSTGRES": ("postgres", lambda folder, say: postgres.prepare(folder)),
    "TIDEMILL_REDIS": ("valkey", lambda folder, say: valkey.prepare(folder)),
}
# The cores belong to inference; elsewhere, arithmetic is small and threads only cost.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def external(data: Path) -> dict[str, str]:
    """The parts that the environment names, and that therefore are not started here.

    A name that is this very stack's own, from a sourced stack.env, does not count.
    """
    folders = {name: folder for name, (folder, _) in SERVERS.items()} | {"TIDEMILL_INFERENCE": "ports/inference"}
    named = {name: os.environ[name] for name in folders if os.environ.get(name)}
    return {name: value for name, value in named.items() if not _is_own(data, folders[name], value)}


def _is_own(data: Path, folder: str, value: str) -> bool:
    place = data / folder if folder.startswith("ports/") else data / folder / "port"
    return place.exists() and f"127.0.0.1:{place.read_text().strip()}" in value


def folders(data: Path) -> dict[str, str]:
    """Where the stack keeps models and claimed payloads, unless the environment says otherwise.

    Raises:
        Problem: TIDEMILL_BLOBS is not JSON by name.
    """
    named = os.environ.get("TIDEMILL_BLOBS")
    blobs = stack.read_object("TIDEMILL_BLOBS", named) if named else {"default": str(data / "blobs")}
    return {
        "TIDEMILL_DATA": str(data),
        "TIDEMILL_MODELS": os.environ.get("TIDEMILL_MODELS") or str(data / "models"),
        "TIDEMILL_BLOBS": json.dumps(blobs),
    }


def make_store(data: Path, values: Mapping[str, str]) -> None:
    """The stack's own blob store, marked as one. A store that the environment names is left alone: it may not be mounted."""
    own = data / "blobs"
    if str(own) in json.loads(values["TIDEMILL_BLOBS"]).values():
        own.mkdir(parents=True, exist_ok=True)
        claim.mark(own)


def roles() -> list[tuple[str, str, str]]:
    """(process, module, role) of every process of Tidemill but inference."""
    names = [*contracts(), "feedback"]
    return [(f"{name}-{role}", f"services.{name}", role) for name in names for role in ("stream", "serve")]


def addresses(data: Path) -> dict[str, str]:
    """Where each process of Tidemill listens; the same at every start, while no other program takes the port."""
    names = ["inference", *(name for name, _, _ in roles())]
    return {name: f"127.0.0.1:{port.keep(data / 'ports' / name)}" for name in names}


def variables(listening: Mapping[str, str]) -> dict[str, str]:
    """What clients need to find the gRPC servers."""
    serving = {name.removesuffix("-serve"): address for name, address in listening.items() if name.endswith("-serve")}
    return {f"{PREFIX}{name.upper()}": address for name, address in serving.items()}


def processes(data: Path, values: Mapping[str, str], listening: Mapping[str, str], own_inference: bool) -> list[Part]:
    """The processes of Tidemill as parts; `values` are the stack's TIDEMILL_* variables."""
    parts = [_process(data, values, listening, name, module, role) for name, module, role in roles()]
    if own_inference:
        parts.insert(0, _process(data, values, listening, "inference", "services.inference", "serve"))
    return parts


def _process(
    data: Path, values: Mapping[str, str], listening: Mapping[str, str], name: str, module: str, role: str
) -> Part:
    scratch = data / "scratch" / name
    scratch.mkdir(parents=True, exist_ok=True)
    address = listening[name]
    environment = {
        **({} if name == "inference" else _ONE_THREAD),
        **values,
        "TIDEMILL_LISTEN": address,
        "TIDEMILL_INSTANCE": f"{name}-0",
        "TIDEMILL_DATA": str(scratch),
    }
    command = (sys.executable, "-m", module, role)
    return Part(name, command, address, partial(health.probe, address), environment, layer=int(name == "inference"))
