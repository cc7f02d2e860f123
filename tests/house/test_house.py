"""What belongs together is all there: a forgotten piece of a domain is a red test."""

import importlib
import re
import statistics
from pathlib import Path

import pytest
import yaml

from shared.domain import Domain
from shared.heads import NEEDED

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {path.name for path in (ROOT / "services").iterdir() if (path / "wiring.py").is_file()}


def domain(name: str) -> Domain:
    wiring: Domain = importlib.import_module(f"services.{name}.wiring").DOMAIN
    return wiring


def sources() -> list[Path]:
    folders = ("services", "shared", "tests", "bench")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py") if path.stat().st_size]


def test_the_top_level_is_what_the_readme_says() -> None:
    """Nothing grows at the top level unseen."""
    given = {"services", "protos", "shared", "deploy", "tests", "docker-compose.yml", "Makefile", "README.md"}
    serious = {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "bench",
        "constraints.txt",
        "data",
        "docs",
        "pyproject.toml",
    }
    seen = {
        path.name for path in ROOT.iterdir() if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert seen - {"build"} == given | serious


def test_there_are_the_three_domains_and_feedback() -> None:
    """A folder with a wiring is a domain."""
    assert {"intent", "risk", "imaging", "feedback"} <= SERVICES


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_one_word_names_everything_of_a_domain(name: str) -> None:
    """Folder, messages, gRPC service and topics carry the domain's name."""
    wiring = domain(name)
    assert wiring.name == name
    assert re.fullmatch(r"[a-z]+", name)
    assert (ROOT / "protos" / f"{name}.proto").is_file()
    for message in (wiring.request, wiring.result, wiring.call, wiring.reply, wiring.batch, wiring.replies):
        assert message.DESCRIPTOR.file.package == f"tidemill.{name}.v1"
    service = wiring.request.DESCRIPTOR.file.services_by_name[wiring.service.rpartition(".")[2]]
    verb = wiring.verb
    assert {verb, f"{verb}Batch", f"{verb}Stream", "GetOutcome"} <= set(service.methods_by_name)
    assert set(service.methods_by_name) - {verb, f"{verb}Batch", f"{verb}Stream", "GetOutcome"} == set(
        wiring.extra_methods
    )


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_domain_is_deployed_everywhere(name: str) -> None:
    """Compose runs both its doors, and the Kubernetes base has its overlay."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services[f"{name}-stream"]["command"] == [f"services.{name}", "stream"]
    assert services[f"{name}-serve"]["command"] == [f"services.{name}", "serve"]
    base = yaml.safe_load((ROOT / "deploy/k8s/base/kustomization.yaml").read_text())
    assert f"../domains/{name}" in base["resources"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_domain_says_what_it_reads_of_its_model(name: str) -> None:
    """Else a model that its handler cannot read could go live, and training would not know the domain."""
    assert (name in NEEDED) == domain(name).infers


def test_files_stay_small() -> None:
    """Half of all files have at most 120 lines; none hides a second thing behind its size."""
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in sources()}
    assert statistics.median(lines.values()) <= 120
    assert {path: count for path, count in lines.items() if count > 300} == {}


def test_nothing_that_executes_is_ever_loaded() -> None:
    """No pickle, no torch.load, no remote code, anywhere."""
    banned = re.compile(r"\b(pickle\.|torch\.load\(|trust_remote_code=True|joblib\.load|shell=True)")
    found = [
        str(path.relative_to(ROOT)) for path in sources() if path != Path(__file__) and banned.search(path.read_text())
    ]
    assert found == []


def test_torchvision_is_nowhere() -> None:
    """Pillow, numpy and our own networks do."""
    pattern = re.compile(r"^\s*(import|from) torchvision", re.MULTILINE)
    assert [path for path in sources() if pattern.search(path.read_text())] == []
