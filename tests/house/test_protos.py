"""Generated code is what the definitions say, and the inference protocol is the public one."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    """`make protos` would change nothing."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    definitions = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "protos").glob("*.proto"))
    outputs = ["--python_out=.", "--pyi_out=.", "--grpc_python_out=."]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *definitions], cwd=tmp_path, check=True, timeout=60
    )
    for path in sorted((tmp_path / "protos").glob("*_pb2*")):
        assert path.read_text() == (ROOT / "protos" / path.name).read_text(), f"{path.name} differs: run `make protos`"
    committed = {path.name for path in (ROOT / "protos").glob("*_pb2*")}
    assert committed == {path.name for path in (tmp_path / "protos").glob("*_pb2*")}


COMPARE = """
from tritonclient.grpc import service_pb2 as public
fields = lambda message: [(f.name, f.number, f.type) for f in message.fields if f.name not in THEIRS]
THEIRS = {"memory_usage", "response_stats"}  # Triton's own
def walk(message):
    print(message.full_name, sorted(fields(message)))
    for nested in message.nested_types:
        if nested.name not in {"ResponseStatsEntry"}:
            walk(nested)
for name in NAMES:
    walk(MODULE.DESCRIPTOR.message_types_by_name[name])
"""


def described(module: str, names: list[str]) -> str:
    """The fields of the messages, as a process of its own sees them: both modules register the package `inference`."""
    head = f"NAMES = {names!r}\n" + ("import protos.inference_pb2 as MODULE\n" if module == "ours" else "")
    body = (
        COMPARE.replace("MODULE.", "public.")
        if module == "public"
        else COMPARE.replace("from tritonclient.grpc import service_pb2 as public\n", "")
    )
    done = subprocess.run(
        [sys.executable, "-c", head + body], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_the_inference_protocol_is_field_compatible() -> None:
    """Every message we share with Triton's client has the same field names, numbers and types."""
    from protos import inference_pb2

    names = sorted(inference_pb2.DESCRIPTOR.message_types_by_name)
    ours, public = described("ours", names), described("public", names)
    assert ours == public
    assert len(ours.splitlines()) > 20
