"""Processes that a killed supervisor left behind. On Linux the kernel ends them with it; elsewhere the next start does."""

from pathlib import Path

from services.cli import child, state


def sweep(data: Path) -> list[str]:
    """Kills what DIR/state.json names and still runs, and returns the names. Call it only while no supervisor runs."""
    found = []
    for name, process in state.read(data).get("processes", {}).items():
        if process["pid"] and process["born"] is not None and state.born(process["pid"]) == process["born"]:
            child.kill_group(process["pid"])
            found.append(name)
    state.forget(data)
    return found
