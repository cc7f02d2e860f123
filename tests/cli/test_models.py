"""What is live, by a real ledger and real bundles on disk."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.cli.problem import Problem
from shared import bundle
from shared.bundle import Bundle, Head
from shared.ledger import Ledger
from shared.settings import Settings


def shelve(store, tmp_path, version):
    """Publishes the smallest bundle that there is; returns its digest."""
    folder = tmp_path / version
    folder.mkdir()
    spec = Bundle(kind="prior", model="intent", heads={"intent": Head(labels=("a", "b"))}, prior={"intent": (0.4, 0.6)})
    (folder / "card.md").write_text(f"# {version}\n")
    return bundle.publish(folder, spec, store, version)[1]


async def promote(postgres, digests):
    ledger = Ledger.open(Settings(postgres=postgres))
    for version, digest in digests.items():
        await ledger.promote("intent", version, digest, approver="ada", evidence={})
    await ledger.close()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def run(postgres, store, tmp_path):
    """`tidemill models ...` on a ledger with two promotions, v1 and v2."""
    asyncio.run(promote(postgres, {version: shelve(store, tmp_path, version) for version in ("v1", "v2")}))
    environment = {"TIDEMILL_POSTGRES": postgres, "TIDEMILL_MODELS": str(store), "COLUMNS": "200"}
    return lambda *words: CliRunner().invoke(app, ["models", "--data", str(tmp_path), *words], env=environment)


def test_the_live_version_is_shown_and_the_history_on_demand(run):
    """Only what is live; `--history` has everything, oldest first."""
    shown = run()
    assert shown.exit_code == 0, shown.output
    assert "v2" in shown.output
    assert "v1" not in shown.output
    history = [json.loads(line) for line in run("--history", "--json").output.splitlines()]
    assert [entry["version"] for entry in history] == ["v1", "v2"]


def test_the_history_is_shown_where_it_is_verified(run):
    """`--history --verify`: every entry, and then that the chain holds; `--verify` alone says the second."""
    both, alone = run("--history", "--verify"), run("--verify")
    assert both.exit_code == alone.exit_code == 0, both.output
    assert both.output.endswith(alone.output)
    shown = both.output.removesuffix(alone.output)
    assert shown.index("v1") < shown.index("v2")
    assert "ada" not in alone.output


def test_a_rollback_makes_the_earlier_version_live_and_needs_a_reason(run):
    """The ledger keeps who and why; without a why nothing happens."""
    assert isinstance(run("--rollback", "intent").exception, Problem)
    done = run("--rollback", "intent", "--reason", "wrong on refunds", "--approver", "ada")
    assert "intent v1 is live again" in done.output
    (now,) = [json.loads(line) for line in run("--json").output.splitlines()]
    assert (now["version"], now["action"], now["approver"]) == ("v1", "rollback", "ada")
    assert now["evidence"]["reason"] == "wrong on refunds"


def test_a_changed_bundle_is_found(run, store):
    """`--verify` reads every byte: a file changed after sealing is named, and the status says no."""
    assert run("--verify").exit_code == 0
    (store / "intent" / "v2" / "card.md").write_text("# better than it is\n")
    ran = run("--verify")
    assert isinstance(ran.exception, Problem)
    assert "v2" in str(ran.exception)
    assert "card.md" in str(ran.exception)


def test_a_place_without_models_is_no_place_to_verify(run, store, tmp_path):
    """Where the bundles do not lie, no model is blamed: the variable that says where they lie is named."""
    store.rename(tmp_path / "elsewhere")
    ran = run("--verify")
    assert isinstance(ran.exception, Problem)
    assert "there are no models in" in str(ran.exception)
    assert "TIDEMILL_MODELS" in str(ran.exception)


def test_an_empty_ledger_says_how_to_get_a_model(postgres, tmp_path):
    """Before the starters were trained."""
    ran = CliRunner().invoke(app, ["models", "--data", str(tmp_path)], env={"TIDEMILL_POSTGRES": postgres})
    assert isinstance(ran.exception, Problem)
    assert "no model is live yet" in str(ran.exception)
