"""Images go inside the event while they are small, and by claim from a blob store when they are not."""

import hashlib

import pytest

from services.cli.problem import Problem
from services.cli.sending import images
from services.cli.sending.intake import Options


def test_a_folder_is_searched_for_images_in_order(tmp_path):
    """Files that are no images are passed over; ids are digests, since file names may hold people's names."""
    (tmp_path / "deep").mkdir()
    for name, data in (("b.png", b"bb"), ("a.dcm", b"aa"), ("notes.txt", b"n"), ("deep/c.JPG", b"cc")):
        (tmp_path / name).write_bytes(data)
    found = list(images.read([tmp_path], {}, False, Options(source="ward")))
    assert [draft.request.inline for draft in found] == [b"aa", b"bb", b"cc"]
    assert [draft.id for draft in found] == [hashlib.sha256(data).hexdigest() for data in (b"aa", b"bb", b"cc")]
    assert {draft.source for draft in found} == {"ward"}


def test_a_large_image_is_copied_whole_into_the_store_and_claimed(tmp_path):
    """The claim names store, key and sha256 of what now lies there."""
    image, store = tmp_path / "large.png", tmp_path / "store"
    image.write_bytes(b"x" * 1_000_001)
    (draft,) = images.read([image], {"images": store}, False, Options())
    claim = draft.request.claim
    assert claim.store == "images"
    assert claim.sha256 == hashlib.sha256(image.read_bytes()).hexdigest()
    assert (store / claim.key).read_bytes() == image.read_bytes()
    assert [path.name for path in (store / claim.key).parent.iterdir()] == [claim.sha256]


def test_a_small_image_goes_by_claim_when_asked(tmp_path):
    """`--claim` sends even a small image by claim, and the same image claimed twice lies in the store once."""
    image, store = tmp_path / "small.png", tmp_path / "store"
    image.write_bytes(b"small")
    for _ in range(2):
        (draft,) = images.read([image], {"images": store}, True, Options())
        assert draft.request.WhichOneof("image") == "claim"
    assert len([path for path in store.rglob("*") if path.is_file()]) == 1


def test_what_cannot_be_sent_is_said(tmp_path):
    """No store for a large image, an empty file, a missing file, a folder without images: each says what is wrong."""
    (large := tmp_path / "large.png").write_bytes(b"x" * 1_000_001)
    (empty := tmp_path / "empty.png").write_bytes(b"")
    (bare := tmp_path / "bare").mkdir()
    for path, said in (
        (large, "TIDEMILL_BLOBS"),
        (empty, "0 bytes"),
        (tmp_path / "gone.png", "no such file"),
        (bare, "no images"),
    ):
        with pytest.raises(Problem, match=said):
            list(images.read([path], {}, False, Options()))
