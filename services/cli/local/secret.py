"""Passwords of the embedded servers: other users of this machine can reach a loopback port too."""

import os
import secrets
from pathlib import Path


def keep(file: Path) -> str:
    """The password in `file`, made on first use and readable by its owner alone."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(secrets.token_hex(24))
    return file.read_text()
