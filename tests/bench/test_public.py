"""Public data: where it is looked for, and what is said where it is not."""

from pathlib import Path

import pytest

from bench import public, texts

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_that_is_named_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Banking77's texts come from the folder that the variable names."""
    (tmp_path / "banking77").mkdir()
    (tmp_path / texts.BANKING).write_text("text,category\nwhere is my card?,card_arrival\n", encoding="utf-8")
    monkeypatch.setenv(public.VARIABLE, str(tmp_path))
    assert public.explain(texts.BANKING) == ""
    assert texts.labelled(seed=0) == ("Banking77", [("where is my card?", "card_arrival")])


def test_nothing_else_is_taken_for_what_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A measurement on the wrong texts would not be noticed: it ends, and says which variable to set right."""
    monkeypatch.setenv(public.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"no banking77/train\.csv in {tmp_path}; TIDEMILL_PUBLIC_DATA names"):
        texts.labelled(seed=0)


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_name_the_folder_beside_the_checkout_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    """Where that is missing too, the project's own texts do, and a test that is skipped names the variable."""
    monkeypatch.delenv(public.VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(public.VARIABLE, value)
    assert public.folder() == ROOT.parent / "shared" / "data"
    monkeypatch.setattr(public, "BESIDE", tmp_path)
    assert public.VARIABLE in public.explain("dicom")
    origin, rows = texts.labelled(seed=0)
    assert (origin, len(rows) > 500) == ("data/intent", True)
