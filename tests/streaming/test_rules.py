"""The rules that make Faust safe are kept by one helper; nobody goes round it."""

import ast
from pathlib import Path

from shared.stream import worker

ROOT = Path(__file__).resolve().parents[2]
HELPER = {"shared/stream/worker.py", "shared/stream/offsets.py"}


def trees() -> dict[str, ast.Module]:
    files = [path for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def imports(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


def test_only_the_helper_knows_faust() -> None:
    """An agent written anywhere else would lose events."""
    assert {name for name, tree in trees().items() if imports(tree) & {"faust", "mode"}} == HELPER


def test_the_helper_is_imported_by_the_runner_alone() -> None:
    """Domains are started by `shared.run`; none builds a worker of its own."""
    users = {
        name
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"shared.stream.worker", "shared.stream.offsets"}
    }
    assert users == {"shared/run.py", "shared/stream/worker.py"}


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def options(call: ast.Call) -> dict[str, object]:
    return {k.arg or "": k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}


def test_one_agent_with_concurrency_one_that_takes_whole_events() -> None:
    """Any other concurrency, and any other way to take events, commits past unfinished work."""
    tree = trees()["shared/stream/worker.py"]
    [agent] = calls(tree, "agent")
    assert options(agent)["concurrency"] == 1
    of_stream = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "stream"
    }
    assert of_stream == {"take_events"}
    for own in ("table", "Table", "GlobalTable", "SetTable", "task", "timer", "page"):
        assert calls(tree, own) == [], own


def test_the_settings_that_were_measured() -> None:
    """Sessions of seconds, static membership, no web server, no topics or tables of Faust's own making."""
    [app] = calls(trees()["shared/stream/worker.py"], "App")
    told = options(app)
    assert {
        "consumer_auto_offset_reset": "earliest",
        "broker_heartbeat_interval": 1,
        "broker_commit_interval": 1,
        "stream_wait_empty": True,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "web_enabled": False,
    }.items() <= told.items()
    [session] = [each.value for each in app.keywords if each.arg == "broker_session_timeout"]
    assert isinstance(session, ast.Name)
    assert getattr(worker, session.id) == 12
    given = {keyword.arg for keyword in app.keywords}
    assert {"consumer_group_instance_id", "stream_buffer_maxsize", "datadir", "broker_max_poll_interval"} <= given
    assert "processing_guarantee" not in given
