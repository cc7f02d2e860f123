"""Ports of the local stack stay the same while nobody else takes them."""

import socket

from services.cli.local import port


def test_port_is_kept(tmp_path):
    """The second start finds the first one's port."""
    assert port.keep(tmp_path / "port") == port.keep(tmp_path / "port")


def test_taken_port_is_replaced(tmp_path):
    """A port that another program listens on now is given up for a new one, which is then kept."""
    first = port.keep(tmp_path / "port")
    with socket.create_server(("127.0.0.1", first)):
        second = port.keep(tmp_path / "port")
    assert second != first
    assert port.keep(tmp_path / "port") == second
