"""A domain service installs without torch: the plain set, in an environment of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOMAINS = sorted(path.parent.name for path in ROOT.glob("services/*/wiring.py"))
LIMIT_MB = 450


def test_every_domain_runs_on_the_plain_install(tmp_path: Path) -> None:
    """Each domain's wiring, both doors and the command line import; torch, transformers and their kin are not installed."""
    home = tmp_path / "plain"
    python = home / "bin/python"
    uv = [sys.executable, "-m", "uv"]
    constraints = ROOT / "constraints.txt"
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, home], check=True, timeout=120)
    install = [*uv, "pip", "install", "--quiet", "--python", python, "--constraint", constraints, "--editable", ROOT]
    subprocess.run(install, check=True, timeout=600)

    modules = [f"services.{name}.wiring" for name in DOMAINS] + [
        "shared.run",
        "shared.stream.worker",
        "shared.serve.service",
        "services.cli.__main__",
    ]
    heavy = ["torch", "transformers", "safetensors", "tokenizers", "sklearn", "scipy", "pandas"]
    program = f"""
import importlib, importlib.util
for name in {modules!r}:
    importlib.import_module(name)
print([name for name in {heavy!r} if importlib.util.find_spec(name)])
"""
    done = subprocess.run([python, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
    assert size < LIMIT_MB, f"the plain install has {size:.0f} MB"
