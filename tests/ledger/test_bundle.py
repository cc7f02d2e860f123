"""A bundle's manifest comes from outside: whatever it holds, it is refused by the name of its file."""

from pathlib import Path

import pytest

from shared.bundle import MANIFEST, Bundle, BundleError, load


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "5", "{}", '{"files": []}', '{"files": {"a.json": 5}}', '{"files": {"a.json": {}}}', "[" * 500_000],
)
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, manifest: str) -> None:
    """Also one that is nested too deeply to be read."""
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(BundleError, match=MANIFEST):
        load(tmp_path, Bundle)
