"""The claim check: what may be named, what is refused, and what is waited for."""

import asyncio
import hashlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.claim import Claims, check_key, mark
from shared.errors import Reject, Unavailable
from shared.patience import persist

CONTENT = b"pretend that this is an image"


@dataclass(frozen=True)
class Claim:
    store: str = "x-rays"
    key: str = "2026/chest.png"
    sha256: str = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store that holds one file, next to a secret that it must not hand out."""
    place = tmp_path / "store"
    (place / "2026").mkdir(parents=True)
    (place / "2026/chest.png").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(CONTENT)
    return place


async def refusal(claims: Claims, claim: Claim) -> Reject:
    with pytest.raises(Reject) as caught:
        await claims.read(claim)
    return caught.value


async def test_the_claimed_bytes_are_read(folder: Path) -> None:
    """Upper-case digits of the sum are as good."""
    claims = Claims({"x-rays": folder})
    assert await claims.read(Claim()) == CONTENT
    assert await claims.read(Claim(sha256=Claim().sha256.upper())) == CONTENT


async def test_the_store_may_be_a_link_itself(folder: Path, tmp_path: Path) -> None:
    """Mounted volumes are often links."""
    (tmp_path / "link").symlink_to(folder)
    assert await Claims({"x-rays": tmp_path / "link"}).read(Claim()) == CONTENT


@pytest.mark.parametrize("store", ["ct", "", "../store", "/", "x" * 10_000])
async def test_only_configured_stores_are_known(folder: Path, store: str) -> None:
    """A store is a name, never a place; only a well-formed name is repeated."""
    reject = await refusal(Claims({"x-rays": folder}), Claim(store=store))
    assert (reject.reason, reject.field) == ("CLAIM_STORE_UNKNOWN", "claim.store")
    assert len(reject.detail) < 200


BAD_KEYS = (
    "",
    "/etc/passwd",
    "../secret",
    "2026/../../secret",
    "..",
    "2026//chest.png",
    "2026/",
    "./2026",
    "2026\\chest.png",
)
WORSE_KEYS = (
    "a\0b",
    "2026/chest.png\0.txt",
    ".hidden",
    "-rf",
    "a" * 300,
    "a/" * 600 + "a",
    "a\nb",
    "röntgen.png",
    "http://x/y",
    "C:x",
)


@pytest.mark.parametrize("key", BAD_KEYS + WORSE_KEYS)
async def test_bad_keys_are_refused_without_being_repeated(folder: Path, key: str) -> None:
    """Nothing outside the store can be named."""
    reject = await refusal(Claims({"x-rays": folder}), Claim(key=key))
    assert (reject.reason, reject.field) == ("CLAIM_KEY_INVALID", "claim.key")
    assert len(key) < 4 or key not in reject.detail


@given(st.text(max_size=60))
def test_a_key_that_passes_stays_inside(key: str) -> None:
    """Whatever the text: it is refused, or it is a plain path that cannot leave the folder."""
    try:
        check_key(key)
    except Reject as reject:
        assert reject.reason == "CLAIM_KEY_INVALID"  # noqa: PT017 - either way is right
        return
    assert os.path.normpath(os.path.join("/store", key)) == f"/store/{key}"
    assert re.fullmatch(r"[A-Za-z0-9._=+@,/-]+", key)


@given(st.lists(st.text("abcXYZ019_-.=+@,", min_size=1, max_size=20), min_size=1, max_size=8))
def test_ordinary_keys_pass(parts: list[str]) -> None:
    """Plain names, none hidden, none with "..", are keys."""
    key = "/".join("n" + part.replace("..", "._") for part in parts)
    check_key(key.replace("..", "._"))


@pytest.mark.parametrize("target", ["secret", "store/2026/chest.png"])
async def test_links_are_not_followed(folder: Path, tmp_path: Path, target: str) -> None:
    """Neither out of the store nor within it, neither as the file nor on the way."""
    (folder / "link.png").symlink_to(tmp_path / target)
    (folder / "way").symlink_to((tmp_path / target).parent)
    for key in ("link.png", f"way/{Path(target).name}"):
        reject = await refusal(Claims({"x-rays": folder}), Claim(key=key))
        assert reject.reason in {"CLAIM_KEY_INVALID", "CLAIM_NOT_FOUND"}


@pytest.mark.parametrize("key", ["2026/other.png", "2027/chest.png", "2026/chest.png/x", "2026"])
async def test_a_missing_file_in_a_working_store_is_the_events_fault(folder: Path, key: str) -> None:
    """The file has to be there before the event is sent; a folder is not a file."""
    reject = await refusal(Claims({"x-rays": folder}), Claim(key=key))
    assert (reject.reason, reject.field) == ("CLAIM_NOT_FOUND", "claim.key")


async def test_a_pipe_is_not_a_file(folder: Path) -> None:
    """Opening it must not hang."""
    os.mkfifo(folder / "pipe")
    assert (await refusal(Claims({"x-rays": folder}), Claim(key="pipe"))).reason == "CLAIM_NOT_FOUND"


async def test_a_large_file_is_refused_by_its_size(folder: Path) -> None:
    """Before it is read: the file of a terabyte here has no bytes on disk."""
    with (folder / "large").open("wb") as file:
        file.truncate(1 << 40)
    reject = await refusal(Claims({"x-rays": folder}), Claim(key="large"))
    assert (reject.reason, reject.field) == ("CLAIM_TOO_LARGE", "claim.key")
    assert "67,108,864" in reject.detail
    assert (await refusal(Claims({"x-rays": folder}, limit=5), Claim())).reason == "CLAIM_TOO_LARGE"


@pytest.mark.parametrize("sha256", ["0" * 64, "", "abc", "g" * 64])
async def test_other_content_is_refused(folder: Path, sha256: str) -> None:
    """The event is about these bytes and no others."""
    reject = await refusal(Claims({"x-rays": folder}), Claim(sha256=sha256))
    assert (reject.reason, reject.field) == ("CLAIM_SHA256_MISMATCH", "claim.sha256")


async def test_a_store_that_is_not_mounted_is_waited_for(tmp_path: Path) -> None:
    """An absent folder, and the empty one that an unmounted volume leaves, lose no event."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for place in ("absent", "empty", "file"):
        with pytest.raises(Unavailable, match="blob store x-rays"):
            await Claims({"x-rays": tmp_path / place}).read(Claim())


async def test_an_empty_store_that_is_marked_is_mounted(tmp_path: Path) -> None:
    """So what it lacks is the event's fault; the marker itself can be claimed by nobody."""
    mark(tmp_path)
    mark(tmp_path)
    claims = Claims({"x-rays": tmp_path})
    assert (await refusal(claims, Claim())).reason == "CLAIM_NOT_FOUND"
    (marker,) = os.listdir(tmp_path)
    assert (await refusal(claims, Claim(key=marker))).reason == "CLAIM_KEY_INVALID"


async def test_a_store_that_hangs_is_waited_for(folder: Path) -> None:
    """As a network mount does whose server is gone: not the event's fault, and not the handler's."""
    going = threading.Event()

    class Hanging:
        def read(self, key: str, limit: int) -> bytes:
            going.wait(30)
            return b""

    claims = Claims({"x-rays": folder}, seconds=0.05)
    claims._stores["x-rays"] = Hanging()
    with pytest.raises(Unavailable) as found:
        await claims.read(Claim())
    assert found.value.what == "blob store x-rays"
    going.set()


async def test_a_store_that_hangs_holds_up_no_other(folder: Path) -> None:
    """However many events ask for it: soon it is refused at once, until its reads end."""
    going, asked = threading.Event(), 0

    class Hanging:
        def read(self, key: str, limit: int) -> bytes:
            nonlocal asked
            asked += 1
            going.wait(60)
            return CONTENT

    claims = Claims({"x-rays": folder, "mounted": folder}, seconds=0.3, at_once=4)
    claims._stores["mounted"] = Hanging()
    said = await asyncio.gather(*(claims.read(Claim(store="mounted")) for _ in range(64)), return_exceptions=True)
    assert [each.what for each in said if isinstance(each, Unavailable)] == ["blob store mounted"] * 64
    assert asked == 4
    assert await claims.read(Claim()) == CONTENT
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    going.set()
    assert await persist(lambda: claims.read(Claim(store="mounted"))) == CONTENT


async def test_a_machine_without_threads_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as that lasts, and no longer."""
    claims = Claims({"x-rays": folder}, at_once=1)

    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(Unavailable, match="can't start new thread"):
            await claims.read(Claim())
    assert await claims.read(Claim()) == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_we_may_not_read_is_waited_for(folder: Path) -> None:
    """That is for the operator to mend, not for the producer."""
    (folder / "2026/chest.png").chmod(0)
    with pytest.raises(Unavailable, match="Permission denied"):
        await Claims({"x-rays": folder}).read(Claim())
