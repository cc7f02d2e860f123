"""The ledger's entries and its rules, apart from where they are stored."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shared.bundle import BundleError, check_name

Action = Literal["promote", "rollback"]
GENESIS = "0" * 64  # stands before the first entry
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_TEXT = 1024  # characters


class Refused(Exception):  # noqa: N818 - a state, as in shared.errors
    """The ledger does not take this entry; the message says why, and what would make it."""


class Broken(Exception):  # noqa: N818 - a state, as in shared.errors
    """The chain does not hold; the message names the first entry that is wrong."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`version` and its `bundle_digest` are live for `model` from this entry on: promoted, or rolled back to."""

    seq: int
    model: str
    version: str
    action: Action
    bundle_digest: str  # sha256 of the bundle's manifest
    evidence: dict[str, Any]
    approver: str
    recorded_at: str  # RFC 3339
    previous: str
    hash: str = ""

    def expected_hash(self) -> str:
        """SHA-256 of everything but the hash, as canonical JSON: sorted keys, no spaces, UTF-8."""
        content = {name: value for name, value in asdict(self).items() if name != "hash"}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()

    def check(self) -> None:
        """Raises Broken if the entry is not as it was recorded."""
        if self.hash != self.expected_hash():
            raise Broken(f"ledger entry {self.seq} ({self.model} {self.version}) was changed after it was recorded")


def check(entries: Iterable[Entry]) -> None:
    """Walks the chain from its first entry.

    Raises:
        Broken: an entry was changed, is missing, or does not follow the one before it.
    """
    previous = GENESIS
    for seq, entry in enumerate(entries, 1):
        if entry.seq != seq:
            raise Broken(f"ledger entry {seq} is missing; entry {entry.seq} stands in its place")
        if entry.previous != previous:
            raise Broken(f"ledger entry {seq} ({entry.model} {entry.version}) does not follow entry {seq - 1}")
        entry.check()
        previous = entry.hash


def live(entries: Sequence[Entry], model: str) -> Entry | None:
    return next((entry for entry in reversed(entries) if entry.model == model), None)


def withdrawn(entries: Iterable[Entry], model: str) -> set[str]:
    """Digests of bundles that were rolled back and not, by force, promoted again."""
    gone: set[str] = set()
    now = ""
    for entry in entries:
        if entry.model != model:
            continue
        if entry.action == "rollback" and now:
            gone.add(now)
        now = entry.bundle_digest
        gone.discard(now)
    return gone


def target(entries: Sequence[Entry], model: str, version: str = "") -> Entry | None:
    """What a rollback goes to: the newest earlier entry with another bundle that was not rolled back (of `version`, if given)."""
    now, gone = live(entries, model), withdrawn(entries, model)
    for entry in reversed(entries):
        if entry.model != model or now is None or entry.bundle_digest in gone | {now.bundle_digest}:
            continue
        if version in ("", entry.version):
            return entry
    return None


def check_fields(model: str, version: str, bundle_digest: str, approver: str) -> None:
    """Raises Refused if one of them is malformed."""
    try:
        check_name(model)
        check_name(version)
    except BundleError as error:
        raise Refused(str(error)) from error
    if not _DIGEST.fullmatch(bundle_digest):
        raise Refused(f"bundle_digest must be 64 hex digits in lower case, not {bundle_digest[:80]!r}")
    if not approver.strip() or not approver.isprintable() or len(approver) > _MAX_TEXT:
        raise Refused("approver must name who decided, in printable characters")
