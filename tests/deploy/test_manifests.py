"""What we ship to Kubernetes and Compose is valid, complete and hardened."""

import os
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


def render(overlay: str) -> str:
    return run(SCRIPTS / "kubectl", "kustomize", ROOT / "deploy/k8s/overlays" / overlay)


def documents(overlay: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(render(overlay)) if document]


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
    jobs = {"setup", "starters", "retrain-intent", "retrain-risk"}
    for name, spec in pods(overlay).items():
        for container in spec["containers"]:
            probes = {kind for kind in ("startupProbe", "readinessProbe", "livenessProbe") if kind in container}
            assert probes == (set() if name in jobs else {"startupProbe", "readinessProbe", "livenessProbe"}), name
            if name not in jobs:
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


def test_the_compose_file_is_valid() -> None:
    """By the Compose specification's own schema."""
    assert "ok" in run(
        SCRIPTS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml"
    )


def test_the_compose_file_is_hardened_and_on_loopback() -> None:
    """Our own containers run with a read-only root and no capabilities, and nothing listens beyond this machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if service["image"].startswith("tidemill"):
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
