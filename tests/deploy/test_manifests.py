"""What we ship to Kubernetes and Compose is valid, complete and hardened."""

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sysconfig.get_path("scripts"))
OVERLAYS = sorted(path.parent.name for path in ROOT.glob("deploy/k8s/overlays/*/kustomization.yaml"))
WORKLOADS = {"Deployment", "StatefulSet", "Job", "CronJob"}


def run(*command: str | Path) -> str:
    # Only `vendor.` schemas and local files are used: nothing here needs a network or a cluster.
    environment = os.environ | {"KUBECONFIG": os.devnull}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def render(overlay: str, k8s: Path = ROOT / "deploy/k8s") -> str:
    return run(SCRIPTS / "kubectl", "kustomize", k8s / "overlays" / overlay)


def documents(overlay: str, k8s: Path = ROOT / "deploy/k8s") -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(render(overlay, k8s)) if document]


def jobs(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The jobs of a release, by name."""
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == "Job"}


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """The pod spec of each workload, by name."""
    found = {}
    for document in documents(overlay):
        if document["kind"] in WORKLOADS:
            spec = document["spec"]
            spec = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
            found[document["metadata"]["name"]] = spec["template"]["spec"]
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rendered_manifests_are_strictly_valid(overlay: str, tmp_path: Path) -> None:
    """Unknown fields fail, and so do warnings (an unknown kind only warns)."""
    path = tmp_path / "rendered.yaml"
    path.write_text(render(overlay))
    said = run(SCRIPTS / "kubernetes-validate", "--strict", path)
    assert "WARN" not in said
    assert said.count("passed for resource") == len(documents(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_hardened(overlay: str) -> None:
    """What the `restricted` pod security standard asks, and a read-only root besides."""
    for name, spec in pods(overlay).items():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_long_running_pod_is_probed(overlay: str) -> None:
    """By gRPC; start-up and liveness ask for the process, never for what it waits for: no pod is killed because Kafka is away."""
    ending = {*jobs(documents(overlay)), "retrain-intent", "retrain-risk"}
    for name, spec in pods(overlay).items():
        for container in spec["containers"]:
            probes = {kind for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container}
            assert probes == (set() if name in ending else {"startupProbe", "readinessProbe", "livenessProbe"}), name
            if name not in ending:
                for kind in ("startupProbe", "livenessProbe"):
                    assert container[kind]["grpc"]["service"] == "live", name


def test_the_gpu_overlay_gives_inference_one_whole_gpu() -> None:
    """And nobody else gets one."""
    gpus = {
        name: container["resources"]["limits"].get("nvidia.com/gpu")
        for name, spec in pods("gpu").items()
        for container in spec["containers"]
    }
    assert gpus.pop("inference") == 1
    assert set(gpus.values()) == {None}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_release_has_jobs_of_its_own(overlay: str, tmp_path: Path) -> None:
    """A job's template cannot be changed: other tags make other jobs. One that failed stays a while, with its log."""
    now = jobs(documents(overlay))
    assert set(now) == {"setup-dev", "starters-dev"}
    k8s = shutil.copytree(ROOT / "deploy/k8s", tmp_path / "k8s")
    dev = k8s / "overlays/dev/kustomization.yaml"
    dev.write_text(dev.read_text().replace("newTag: dev", "newTag: 1.2-rc1"))
    later = jobs(documents(overlay, k8s))
    assert set(later) == {"setup-1.2-rc1", "starters-1.2-rc1"}
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", name) for name in (*now, *later))
    for job in (*now.values(), *later.values()):
        assert 600 <= job["spec"]["ttlSecondsAfterFinished"] <= 24 * 3600
        assert job["metadata"]["labels"]["tidemill.dev/job"] == "release"  # by which the manifest says to delete them


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_setup_can_mark_the_store_that_imaging_reads(overlay: str) -> None:
    """The same stores on the same claims, writable for the one and read-only for the others."""
    found = pods(overlay)
    places = {}
    for name in ("setup-dev", "imaging-stream", "imaging-serve"):
        (container,) = found[name]["containers"]
        (stores,) = [each["value"] for each in container["env"] if each["name"] == "TIDEMILL_BLOBS"]
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "blobs"]
        (volume,) = [each for each in found[name]["volumes"] if each["name"] == "blobs"]
        places[name] = (stores, mount["mountPath"], volume["persistentVolumeClaim"]["claimName"])
        assert mount.get("readOnly", False) is (name != "setup-dev"), name
    assert len(set(places.values())) == 1, places


def test_compose_marks_the_store_and_passes_the_commit_on() -> None:
    """Setup may write where imaging may only read, and every image that is built knows its commit."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert services["setup"]["volumes"] == ["blobs:/blobs"]
    assert services["imaging-stream"]["volumes"] == services["imaging-serve"]["volumes"] == ["blobs:/blobs:ro"]
    built = {name: service["build"]["args"] for name, service in services.items() if "build" in service}
    assert {"setup", "starters", "inference"} <= set(built)
    for name, arguments in built.items():
        assert arguments["TIDEMILL_COMMIT"] == "${TIDEMILL_COMMIT:-}", name


def test_models_can_be_verified_where_they_lie() -> None:
    """The inference container has the store and the ledger, as the documents say; domains, which need no model, have no store."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    stores = {name for name, each in services.items() if any(v.startswith("models:") for v in each.get("volumes", ()))}
    assert stores == {"starters", "inference"}
    assert "TIDEMILL_POSTGRES" in services["inference"]["environment"]
    assert "TIDEMILL_MODELS=/models" in (ROOT / "deploy/Dockerfile").read_text()
    assert "docker compose exec inference tidemill models --verify" in (ROOT / "README.md").read_text()


def test_the_compose_file_is_valid() -> None:
    """By the Compose specification's own schema."""
    assert "ok" in run(
        SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"
    )


def test_the_compose_file_runs_on_older_docker() -> None:
    """Docker before 25, which Debian 12 has, makes no container whose health check has a start_interval."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert [name for name, each in services.items() if "start_interval" in each.get("healthcheck", {})] == []


def test_the_compose_file_is_hardened_and_on_loopback() -> None:
    """Our own containers run with a read-only root and no capabilities, and nothing listens beyond this machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if service["image"].startswith("tidemill"):
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name


def test_only_what_names_dependencies_installs_them_again() -> None:
    """What is copied before the installation decides when its layer is made anew: neither code nor README."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    before, installs, _ = dockerfile.partition("uv pip install")
    copied = [line.split()[1:-1] for line in before.splitlines() if line.startswith("COPY")]
    assert installs
    assert copied == [["pyproject.toml", "constraints.txt", "LICENSE"]]
