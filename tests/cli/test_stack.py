"""Where a stack's parts are: stack.env, and the environment over it."""

import os
import subprocess

import pytest

from services.cli import parts, stack
from services.cli.problem import Problem


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No TIDEMILL_ variable of whoever runs the tests."""
    for name in ("KAFKA", "POSTGRES", "REDIS", "INFERENCE", "INTENT", "DATA", "MODELS", "BLOBS"):
        monkeypatch.delenv(f"TIDEMILL_{name}", raising=False)


def test_settings_come_from_stack_env(tmp_path):
    """Every line of stack.env that is a setting becomes one; the others are addresses."""
    lines = 'TIDEMILL_KAFKA=k:1\nTIDEMILL_INTENT=i:2\nTIDEMILL_BLOBS={"default": "/b"}\nTIDEMILL_POSTGRES=postgresql://u:p=q@h/d\n'
    stack.write(stack.env_file(tmp_path), lines)
    opened = stack.open_stack(tmp_path)
    assert opened.settings.kafka == "k:1"
    assert opened.settings.postgres == "postgresql://u:p=q@h/d"
    assert str(opened.settings.blobs["default"]) == "/b"
    assert opened.address("intent") == "i:2"
    assert stack.env_file(tmp_path).stat().st_mode & 0o077 == 0  # it holds passwords


def test_a_shell_reads_what_we_read(tmp_path):
    """Whatever the values hold, `.` in a shell and our own reader take the same; addresses stay as they are for simpler readers."""
    values = {
        "TIDEMILL_KAFKA": "127.0.0.1:9092",
        "TIDEMILL_POSTGRES": "postgresql://tidemill:p=w@127.0.0.1:5432/tidemill",
        "TIDEMILL_REDIS": "redis://127.0.0.1:6379/0",
        "TIDEMILL_BLOBS": '{"default": "/it\'s here/$HOME/`b`"}',
        "TIDEMILL_MODELS": "/two words/模型",
        "TIDEMILL_DATA": "",
    }
    stack.write(stack.env_file(tmp_path), stack.lines(values))
    assert stack.read(stack.env_file(tmp_path)) == values
    shown = "set -a; . ./stack.env; exec env -0"
    done = subprocess.run(["sh", "-c", shown], cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, check=True)
    sourced = dict(each.split("=", 1) for each in done.stdout.decode().split("\0") if each)
    assert {name: sourced[name] for name in values} == values
    plain = dict(line.split("=", 1) for line in stack.env_file(tmp_path).read_text().splitlines())
    assert [plain[name] for name in list(values)[:3]] == list(values.values())[:3]


def test_a_stack_of_before_is_read(tmp_path):
    """A stack.env whose JSON nobody had quoted yet, of a stack that still runs, says what it said."""
    stack.write(stack.env_file(tmp_path), 'TIDEMILL_BLOBS={"default": "/b"}\n')
    assert stack.read(stack.env_file(tmp_path)) == {"TIDEMILL_BLOBS": '{"default": "/b"}'}


def test_what_a_line_cannot_hold_is_refused(tmp_path, monkeypatch):
    """A line break in a value is a problem, but for JSON, which needs none."""
    with pytest.raises(Problem, match="TIDEMILL_REDIS has a line break"):
        stack.lines({"TIDEMILL_REDIS": "a\rb"})
    with pytest.raises(Problem, match="TIDEMILL_MODELS has a line break"):
        stack.lines({"TIDEMILL_MODELS": "/a\n/b"})
    monkeypatch.setenv("TIDEMILL_BLOBS", '{\n "a": "/b"\n}')
    assert parts.folders(tmp_path)["TIDEMILL_BLOBS"] == '{"a": "/b"}'


@pytest.mark.parametrize("value", ["{bad", "[]", '"a"'])
def test_blobs_must_be_folders_by_name(tmp_path, monkeypatch, value):
    """What is no JSON by name is said in one line, by `up` and by whoever reads settings."""
    monkeypatch.setenv("TIDEMILL_BLOBS", value)
    with pytest.raises(Problem, match="TIDEMILL_BLOBS must be JSON like"):
        parts.folders(tmp_path)
    with pytest.raises(Problem, match="TIDEMILL_BLOBS must be JSON like"):
        _ = stack.open_stack(tmp_path).settings


def test_a_setting_of_the_environment_that_is_json_is_read(tmp_path, monkeypatch):
    """Who exports what the services take does not lose the commands by it."""
    monkeypatch.setenv("TIDEMILL_CALLER_WEIGHTS", '{"ward": 4}')
    assert stack.open_stack(tmp_path).settings.caller_weights == {"ward": 4}


def test_a_setting_that_no_process_would_take_is_named(tmp_path):
    """The variable and its value, in one line instead of a traceback."""
    with pytest.raises(Problem, match=r"^TIDEMILL_PRECISION: Input should be .*'int8', not 'fp33'$"):
        _ = stack.Stack(tmp_path, {"TIDEMILL_PRECISION": "fp33"}).settings


def test_a_file_is_no_stack(tmp_path):
    """Labelled data where the stack's folder belongs: said in one line, with the option that was meant."""
    (tmp_path / "mine.csv").write_text("text,label\n")
    with pytest.raises(
        Problem, match=r"mine.csv is a file: --data names the folder .* takes labelled data as --labels"
    ):
        stack.open_stack(tmp_path / "mine.csv")
    stack.env_file(tmp_path).mkdir()
    with pytest.raises(Problem, match=r"stack.env cannot be read: Is a directory"):
        stack.open_stack(tmp_path)


def test_environment_wins(tmp_path, monkeypatch):
    """A variable of the environment is taken before the file's."""
    stack.write(stack.env_file(tmp_path), "TIDEMILL_KAFKA=k:1\nTIDEMILL_INTENT=i:2\n")
    monkeypatch.setenv("TIDEMILL_KAFKA", "mine:1")
    monkeypatch.setenv("TIDEMILL_INTENT", "mine:2")
    opened = stack.open_stack(tmp_path)
    assert (opened.settings.kafka, opened.address("intent")) == ("mine:1", "mine:2")


def test_unknown_address_says_what_to_do(tmp_path):
    """Where nothing says where a service is, the error names the command and the variable."""
    with pytest.raises(Problem, match=r"tidemill up --data .* or set TIDEMILL_RISK=HOST:PORT"):
        stack.open_stack(tmp_path).address("risk")


def test_named_servers_are_used_and_not_started(tmp_path, monkeypatch):
    """A server that the environment names is not started."""
    monkeypatch.setenv("TIDEMILL_KAFKA", "kafka.example:9092")
    assert parts.external(tmp_path) == {"TIDEMILL_KAFKA": "kafka.example:9092"}


def test_sourced_stack_env_is_not_another_server(tmp_path, monkeypatch):
    """Who has sourced this stack's own stack.env still gets its servers started."""
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "port").write_text("23456\n")
    monkeypatch.setenv("TIDEMILL_KAFKA", "127.0.0.1:23456")
    monkeypatch.setenv("TIDEMILL_POSTGRES", "postgresql://u@127.0.0.1:5432/d")
    assert parts.external(tmp_path) == {"TIDEMILL_POSTGRES": "postgresql://u@127.0.0.1:5432/d"}


def test_processes_have_names_addresses_and_threads(tmp_path):
    """One stream and one serve process a domain, addresses that stay, one thread for arithmetic outside inference."""
    listening = parts.addresses(tmp_path)
    assert parts.addresses(tmp_path) == listening
    made = {
        part.name: part for part in parts.processes(tmp_path, {"TIDEMILL_KAFKA": "k:1"}, listening, own_inference=True)
    }
    assert {"inference", "intent-stream", "risk-serve", "imaging-stream", "feedback-serve"} <= set(made)
    worker = made["intent-stream"]
    assert worker.command[1:] == ("-m", "services.intent", "stream")
    assert worker.environment["TIDEMILL_INSTANCE"] == "intent-stream-0"
    assert worker.environment["TIDEMILL_LISTEN"] == listening["intent-stream"]
    assert worker.environment["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in made["inference"].environment
    assert parts.variables(listening)["TIDEMILL_FEEDBACK"] == listening["feedback-serve"]
