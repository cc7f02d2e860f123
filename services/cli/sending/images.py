"""Image files as drafts of events: small ones inside the event, large ones by claim from a blob store."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf.message import Message

from protos import event_pb2, imaging_pb2
from services.cli.problem import Problem
from services.cli.sending.draft import Draft
from services.cli.sending.intake import Options
from shared.event import JSON, PROTOBUF

# Below a broker's default of 1,048,588 bytes a record; JSON carries an image as base64, which is a third longer.
INLINE_BYTES = {PROTOBUF: 1_000_000, JSON: 740_000}
MAX_BYTES = 64 * 1024 * 1024
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom"}


def read(paths: Sequence[Path], stores: Mapping[str, Path], claim: bool, options: Options) -> Iterator[Draft]:
    """One draft an image; the id is the sha256 of its bytes, because file names may hold people's names.

    Args:
        paths: images, or folders that are searched for them.
        stores: blob stores by name; the first takes what is sent by claim.
        claim: also send small images by claim.

    Raises:
        Problem: a file is missing, empty or too large, or must go by claim and there is no store.
    """
    for path in found(paths):
        size = path.stat().st_size
        if not 0 < size <= MAX_BYTES:
            raise Problem(f"{path}: {size:,} bytes; an image must have 1 to {MAX_BYTES:,}")
        sha256 = digest(path)
        request: Message
        if claim or size > INLINE_BYTES[options.content_type]:
            request = imaging_pb2.ImagingRequest(claim=deposit(path, sha256, stores))
        else:
            request = imaging_pb2.ImagingRequest(inline=path.read_bytes())
        yield Draft(options.source or "cli/images", sha256, request, options.caller, content_type=options.content_type)


def found(paths: Sequence[Path]) -> Iterator[Path]:
    """The images among `paths` and in the folders among them, folders sorted by name."""
    for path in paths:
        if path.is_dir():
            images = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not images:
                raise Problem(f"{path}: no images in this folder (looked for {', '.join(sorted(SUFFIXES))})")
            yield from images
        elif path.is_file():
            yield path
        else:
            raise Problem(f"{path}: no such file or folder")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def deposit(path: Path, sha256: str, stores: Mapping[str, Path]) -> event_pb2.Claim:
    """Copies the image into the first store, whole or not at all, under its sha256; a second copy changes nothing."""
    if not stores:
        raise Problem(
            f"{path}: an image over {INLINE_BYTES[PROTOBUF]:,} bytes goes by claim, and no blob store is configured: "
            'set TIDEMILL_BLOBS, such as {"images": "/data/images"}'
        )
    store, folder = next(iter(stores.items()))
    key = f"{sha256[:2]}/{sha256}"
    place = folder / key
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, staging = tempfile.mkstemp(prefix=".new-", dir=place.parent)
        os.close(handle)
        shutil.copyfile(path, staging)
        Path(staging).chmod(0o644)
        Path(staging).rename(place)
    return event_pb2.Claim(store=store, key=key, sha256=sha256)
