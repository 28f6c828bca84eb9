"""Ports stay the same from run to run, unless somebody else has taken one."""

import socket
from pathlib import Path

from local.ports import free_port, is_free, kept_ports


def test_ports_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    preferred = free_port()
    first = kept_ports(path, ["a", "b"], preferred={"a": preferred})
    assert first["a"] == preferred
    assert kept_ports(path, ["b", "c"], preferred={}).items() >= first.items()


def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = kept_ports(path, ["a", "b"], preferred={})
    with socket.create_server(("127.0.0.1", first["a"])):
        assert not is_free(first["a"])
        second = kept_ports(path, ["a", "b"], preferred={})
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]


def test_no_port_is_given_twice(tmp_path: Path) -> None:
    port = free_port()
    ports = kept_ports(tmp_path / "ports.json", ["a", "b"], preferred={"a": port, "b": port})
    assert ports["a"] != ports["b"]
