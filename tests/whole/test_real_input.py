"""Real texts and real DICOM files through `tidemill send`: each ends as exactly one result or one dead letter."""

import csv
from pathlib import Path

import pytest

from bench import evidence, public
from bench.events import DATA, shipped
from bench.local import Local
from bench.texts import BANKING
from tests.whole.sending import new_source, settled

DICOM = "dicom"  # of the public data

_KINDS = "SELECT kind, coalesce(reason, '') AS reason, count(*) AS events FROM outcomes WHERE source = $1 GROUP BY 1, 2"


async def kinds(stack: Local, source: str) -> dict[tuple[str, str], int]:
    rows = await evidence.query(stack.address("postgres"), _KINDS, source)
    return {(row["kind"], row["reason"]): row["events"] for row in rows}


async def grow(stack: Local, domain: str, *words: str) -> dict[str, int]:
    """Sends, waits for rest; by how much each of the domain's counts grew."""
    before = (await settled(stack))[domain]
    stack.run("send", domain, *words)
    after = (await settled(stack, within=300))[domain]
    return {name: after[name] - before[name] for name in ("accepted", "results", "dead_letters", "repeats", "refused")}


async def test_own_utterances(stack: Local, tmp_path: Path) -> None:
    """300 of the project's own texts, English and Chinese: as many results, by Postgres and by `tidemill status`."""
    source, file = new_source(), tmp_path / "texts.txt"
    file.write_text("\n".join(row["text"] for row in shipped("intent/utterances.jsonl")[:300]), encoding="utf-8")
    grown = await grow(stack, "intent", str(file), "--source", source)
    assert grown == {"accepted": 300, "results": 300, "dead_letters": 0, "repeats": 0, "refused": 0}
    assert await kinds(stack, source) == {("result", ""): 300}


async def test_own_headlines(stack: Local) -> None:
    """Headlines with the issuers that they name: one result each."""
    source = new_source()
    grown = await grow(
        stack, "risk", str(DATA / "risk" / "headlines.jsonl"), "--count", "60", "--source", source, "--ignore-unknown"
    )
    assert (grown["accepted"], grown["results"] + grown["dead_letters"]) == (60, 60)


@pytest.mark.skipif(bool(public.explain(BANKING)), reason=public.explain(BANKING))
async def test_3000_banking77_texts(stack: Local) -> None:
    """Other people's words, 3,000 of them: each is accepted once and ends once."""
    source, file = new_source(), public.locate(BANKING)
    with file.open(encoding="utf-8", newline="") as lines:
        assert len(list(csv.DictReader(lines))) >= 3000
    grown = await grow(stack, "intent", str(file), "--count", "3000", "--source", source)
    assert grown["accepted"] == 3000
    assert grown["results"] + grown["dead_letters"] == 3000
    assert sum((await kinds(stack, source)).values()) == 3000


@pytest.mark.skipif(bool(public.explain(DICOM)), reason=public.explain(DICOM))
async def test_every_dicom_file(stack: Local) -> None:
    """Files that scanners and test suites made: each ends once, most of them as results."""
    source = new_source()
    files = sorted(str(path) for path in public.locate(DICOM).iterdir() if path.is_file())
    grown = await grow(stack, "imaging", *files, "--source", source)
    found = await kinds(stack, source)
    assert sum(found.values()) == len(files) == grown["accepted"]
    assert found[("result", "")] > len(files) / 2
