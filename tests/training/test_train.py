"""From labelled texts to a sealed bundle: measured, the same each time, and what is served is what was measured."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.training import metrics
from services.training.encoders import find
from services.training.examples import DataError
from services.training.job import Done, Wish, run
from shared import bundle
from shared.bundle import Bundle
from shared.settings import Settings
from tests.training.corpus import write_csv
from tests.training.test_encoders import write_bert


def quiet(step: str, done: int, of: int) -> None:
    pass


def at(folder: Path, **given: str) -> Settings:
    return Settings(models=folder / "models", data=folder / "data", **given)  # type: ignore[arg-type]


def wish(folder: Path, **given: object) -> Wish:
    data = write_csv(folder / "made-up.csv")
    return Wish(**({"domain": "intent", "data": data, "encoders": {"*": "chars"}, "promote": False} | given))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """One run that several tests look at."""
    return asyncio.run(run(wish(folder), at(folder), quiet))


def test_it_learns_what_the_baseline_cannot_see(done: Done) -> None:
    """The gate lets it pass: better than TF-IDF on words, calibrated, and able to tell what is out of scope."""
    candidate, answers = done.sealed.candidate, done.sealed.answers
    ours = metrics.measure(candidate.items, answers, candidate.heads)
    theirs = metrics.measure(candidate.items, candidate.baseline, candidate.heads)
    assert ours["en.intent"]["accuracy"] > 0.85 > 0.6 > theirs["en.intent"]["accuracy"]
    assert ours["en.scope"]["auroc"] > theirs["en.scope"]["auroc"]
    assert done.report.verdict == "pass", done.report
    assert done.entry is None


def test_what_is_published_is_sealed_and_says_what_it_is(done: Done) -> None:
    """Every byte verified, its encoder in the store, thresholds for what serving decides, a card with the figures."""
    spec = bundle.load(done.sealed.folder, Bundle, done.sealed.digest)
    assert spec.heads["intent"].labels == ("delivery", "login", "refund")
    assert set(spec.thresholds) >= {"scope.out_of_scope", "scope.out_of_scope.en", "intent.confident"}
    assert find(spec.routes["*"].encoder, done.sealed.folder.parents[1]).spec.architecture == "char-ngram"
    card = (done.sealed.folder / "card.md").read_text()
    assert "| en.intent | accuracy |" in card
    assert done.sealed.candidate.data["files"]["made-up.csv"] in card


def test_no_test_row_was_learned_from(done: Done) -> None:
    """Held-out items and those of the other parts share no entity."""
    tuning = done.sealed.candidate.tuning
    assert tuning is not None
    held_out = {item.entity for item in done.sealed.candidate.items}
    assert held_out
    assert not held_out & {item.entity for item in tuning.items}


async def test_the_same_run_gives_the_same_bytes(done: Done, folder: Path, tmp_path: Path) -> None:
    """Another day, another folder: the same digest."""
    again = await run(wish(folder), at(tmp_path), quiet)
    assert again.sealed.digest == done.sealed.digest


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
@pytest.mark.parametrize("method", ["lora", "full"])
async def test_fine_tuning_makes_an_encoder_of_its_own(folder: Path, tmp_path: Path, method: str) -> None:
    """It differs from the one it came from, is published, and is not trained twice."""
    source = str(write_bert(tmp_path / "bert"))
    small = wish(folder, encoders={"*": source}, data=write_csv(tmp_path / "small.csv", 40))
    plain = await run(small, at(tmp_path), quiet)
    asked = replace(small, method=method, merge=method == "lora", epochs=1)
    tuned = await run(asked, at(tmp_path), quiet)
    before, after = (each.sealed.candidate.spec.routes["*"].encoder for each in (plain, tuned))
    assert before != after
    assert method in find(after, tmp_path / "models").spec.revision
    steps: list[str] = []
    again = await run(asked, at(tmp_path), lambda step, now, of: steps.append(step))
    assert again.sealed.digest == tuned.sealed.digest
    assert not [step for step in steps if "fine-tuning" in step]
    assert all(np.isfinite(each).all() for each in tuned.sealed.answers.probabilities.values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
async def test_a_killed_fine_tuning_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """Steps before the last checkpoint are not done again."""
    source = str(write_bert(tmp_path / "bert"))
    asked = wish(tmp_path, encoders={"*": source}, data=write_csv(tmp_path / "small.csv", 40), method="lora", epochs=10)

    def die(step: str, now: int, of: int) -> None:
        if "fine-tuning" in step and now == 55:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run(asked, at(tmp_path), die)
    (whole,) = (tmp_path / "data").rglob("checkpoint-50")
    torn = whole.with_name("checkpoint-55")  # killed while the weights were written: the state comes last
    shutil.copytree(whole, torn)
    (torn / "trainer_state.json").unlink()
    steps: list[int] = []
    await run(asked, at(tmp_path), lambda step, now, of: steps.append(now) if "fine-tuning" in step else None)
    assert steps[0] == 51
    assert steps[-1] > 55


async def test_a_head_with_too_few_rows_is_said(tmp_path: Path) -> None:
    """One text's sentiments in a file of intents are nothing to learn from and to judge by: the head and its rows are named."""
    asked = wish(tmp_path)
    lines = (tmp_path / "made-up.csv").read_text().splitlines()
    rows = [f"{line}," for line in lines[1:]] + ["a text,refund,positive", "a text,refund,negative"]
    (tmp_path / "made-up.csv").write_text("\n".join([f"{lines[0]},sentiment", *rows]))
    with pytest.raises(DataError, match=r"^\d of \d+ rows \(en\) say what their sentiment is, which is too few"):
        await run(asked, at(tmp_path), quiet)


def program(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    values = {"TIDEMILL_MODELS": str(folder / "models"), "TIDEMILL_DATA": str(folder / "data"), **environment}
    command = [sys.executable, "-m", "services.training", *arguments]
    return subprocess.run(
        command, env={**os.environ, **values}, capture_output=True, text=True, timeout=300, check=False
    )


def test_the_command(tmp_path: Path) -> None:
    """Figures as RESULT lines, and status 0, without any server."""
    data = write_csv(tmp_path / "made-up.csv")
    done = program(tmp_path, "train", "intent", "--data", str(data), "--encoder", "chars", "--no-promote")
    assert done.returncode == 0, done.stderr
    results = dict(
        line.removeprefix("RESULT ").split("=") for line in done.stdout.splitlines() if line.startswith("RESULT ")
    )
    assert float(results["train.intent.test.en.intent.accuracy"]) > 0.85
    assert float(results["train.intent.cross_baseline.en.intent.accuracy"]) < 0.6
    assert "the gate says: pass" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "intent", "--data", "nowhere.csv", "--no-promote"), "no such file"),
        (("train", "intent", "--approve-label", "new"), "--approver"),
        (("train", "weather", "--no-promote"), "'weather' is not one of intent, risk, imaging"),
        (("train", "intent"), "postgres is unavailable"),
    ],
)
def test_what_goes_wrong_is_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """No traceback, and a status that is not the gate's."""
    done = program(tmp_path, *arguments, TIDEMILL_POSTGRES="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TIDEMILL_PRECISION", "fp33", "TIDEMILL_PRECISION: Input should be"),
        ("TIDEMILL_BLOBS", "nonsense", '"blobs" from source "EnvSettingsSource": its TIDEMILL_ variable is to be JSON'),
    ],
)
def test_a_setting_that_cannot_be_read_is_one_clear_line(tmp_path: Path, name: str, value: str, said: str) -> None:
    """It is named, with what it may be."""
    done = program(tmp_path, "train", "intent", "--no-promote", **{name: value})
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_is_instant() -> None:
    """Nothing heavy is imported to show it."""
    code = "import services.training.__main__, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert not {"torch", "transformers", "sklearn", "scipy", "sqlalchemy"} & set(loaded)
