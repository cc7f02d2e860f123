"""CONTRIBUTING's "add a domain", followed to the letter in a copy of the house: it is a domain, checked, deployed and trainable."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.corpus import write_csv

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a domain")[2]


def block(language: str) -> str:
    """The guide's code of that language."""
    found = re.search(rf"   ```{language}\n(.*?)   ```", GUIDE, re.DOTALL)
    assert found is not None
    return "".join(line.removeprefix("   ") for line in found[1].splitlines(keepends=True))


def as_spam(text: str) -> str:
    return text.replace("Intent", "Spam").replace("intent", "spam").replace("Classify", "Check")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The house with the domain `spam`."""
    place = tmp_path_factory.mktemp("new") / "house"
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build"))
    proto = as_spam((ROOT / "protos/intent.proto").read_text())
    head, tail = proto.partition("message SpamRequest")[0], proto[proto.index("message SpamCall") :]
    (place / "protos/spam.proto").write_text(f"{head}{block('proto')}\n{tail}")
    generate = ["-m", "grpc_tools.protoc", "-I.", "--python_out=.", "--pyi_out=.", "--grpc_python_out=."]
    subprocess.run([sys.executable, *generate, "protos/spam.proto"], cwd=place, check=True, timeout=60)
    service = place / "services/spam"
    service.mkdir()
    (service / "__init__.py").write_text('"""Whether a message is spam."""\n')
    (service / "handler.py").write_text(block("python"))
    for name in ("wiring.py", "__main__.py"):
        lines = (ROOT / "services/intent" / name).read_text().splitlines(keepends=True)
        wiring = "".join(line for line in lines if "order=" not in line)
        (service / name).write_text(as_spam(wiring))
    needed = re.search(r"the line `([^`]+)` in `NEEDED`", GUIDE)
    assert needed is not None
    edit(place / "shared/heads.py", first := '    "intent": {"intent"', f"    {needed[1]}\n{first}")
    deploy(place)
    return place


def deploy(place: Path) -> None:
    compose = (place / "docker-compose.yml").read_text()
    found = re.search(r"  intent-stream:.*?(?=\n\n)", compose, re.DOTALL)
    assert found is not None
    copied = as_spam(found[0]).replace("INTENT_PORT:-8011", "SPAM_PORT:-8019")
    edit(place / "docker-compose.yml", found[0], f"{found[0]}\n\n{copied}")
    domains = place / "deploy/k8s/domains"
    shutil.copytree(domains / "intent", domains / "spam")
    kustomization = domains / "spam/kustomization.yaml"
    kustomization.write_text(as_spam(kustomization.read_text()))
    base = place / "deploy/k8s/base/kustomization.yaml"
    edit(base, "  - ../domains/intent\n", "  - ../domains/intent\n  - ../domains/spam\n")


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new))


def run(house: Path, *arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    values = {**os.environ, "PYTHONPATH": str(house), **environment}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=house, env=values, capture_output=True, text=True, timeout=300, check=False)


def test_the_house_rules_hold_with_it(house: Path) -> None:
    """The checks that look for a domain's pieces find them all, and the linter has nothing to say."""
    checks = ("tests/house/test_house.py", "tests/house/test_layers.py::test_the_contracts_hold", "tests/deploy")
    done = run(house, "-m", "pytest", "-q", *checks)
    assert done.returncode == 0, done.stdout
    done = run(house, "-m", "ruff", "check", "services/spam", "shared/heads.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("forgotten", "test"),
    [
        ("shared/heads.py", "test_a_domain_says_what_it_reads_of_its_model"),
        ("docker-compose.yml", "test_a_domain_is_deployed_everywhere"),
        ("deploy/k8s/base/kustomization.yaml", "test_a_domain_is_deployed_everywhere"),
    ],
)
def test_what_was_forgotten_is_told(house: Path, forgotten: str, test: str) -> None:
    """Each file as it was before: the checks fail, and name the domain."""
    (file := house / forgotten).rename(kept := house / "kept")
    shutil.copy(ROOT / forgotten, file)
    try:
        done = run(house, "-m", "pytest", "-q", f"tests/house/test_house.py::{test}")
    finally:
        kept.replace(file)
    assert done.returncode == 1
    assert f"{test}[spam]" in done.stdout


ANSWER = """
import asyncio, datetime, sys
from pathlib import Path
import numpy as np
from protos import spam_pb2
from services.spam.wiring import DOMAIN
from shared.domain import Tools
from shared.inference.contract import Attribution, Card, Inference
from shared.words import Scored

async def infer(model, row, *, priority=0, explain=""):
    told = Attribution(explain, "spam", 1.5, 0.5, (Scored(9, 12, 1.0),))
    return Inference(Card(model, "v1", {"spam": ("ham", "spam")}), {"spam": np.array([0.2, 0.8], np.float32)}, attribution=told)

tools = Tools(None, infer, datetime.datetime.now(datetime.UTC), explain=DOMAIN.explains[0])
result = asyncio.run(DOMAIN.handle(spam_pb2.SpamRequest(text="You have won"), tools))
prediction = DOMAIN.predictions(result)[0]
print(result.answer.why, prediction.label, sorted(prediction.probabilities))
print([(told.head, [(word.start, word.end) for word in told.words]) for told in result.answer.explanations])
"""


def test_it_answers(house: Path) -> None:
    """The guide's handler, on a model that says what this test says."""
    done = run(house, "-c", ANSWER)
    lines = ["reads like spam (80%) spam ['ham', 'spam']", "[('spam', [(9, 12)])]"]
    assert done.stdout.splitlines() == lines, done.stderr


CORRECTION = """
from datetime import UTC, datetime
from protos import spam_pb2
from services.training import feedback
from shared.event import Key
from shared.store.labels import Label

now, request = datetime.now(UTC), spam_pb2.SpamRequest(text="See you at noon").SerializeToString()
label = Label("p1", "spam", "", "ham", "spam", Key("spam", "shop", "1"), request, now, "v1", 1, 1, ("j1",), now)
(example,) = feedback.examples("spam", [label])
print(example.text, dict(example.labels), example.language, example.corrects)
"""


def test_corrections_are_examples(house: Path) -> None:
    """What a person said of an answer can be learned from, without code for it."""
    done = run(house, "-c", CORRECTION)
    assert done.stdout.strip() == "See you at noon {'spam': 'ham'} en True", done.stderr


def test_it_can_be_trained(house: Path, tmp_path: Path) -> None:
    """By the guide's command, with a quick encoder and without a ledger."""
    found = re.search(r"`tidemill (train spam --labels) FILE.csv`", GUIDE)
    assert found is not None
    labels, models = write_csv(tmp_path / "mine.csv"), tmp_path / "models"
    done = run(
        house, "-m", "services.cli", *found[1].split(), labels, "--encoder", "chars", "--no-promote", "--data", tmp_path,
        TIDEMILL_POSTGRES="postgresql://nobody@127.0.0.1:1/none", TIDEMILL_MODELS=str(models),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the gate says: pass" in done.stdout
    assert "RESULT train.spam.test.en.spam.accuracy=" in done.stdout
    assert [path.name for path in (models / "spam").glob("*/bundle.json")] == ["bundle.json"]
