"""TCP ports on the loopback address."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

# Below the kernel's range for outgoing connections, which could take the port between the choice and its use.
_RANGE = range(20000, 32000)


def is_free(port: int) -> bool:
    """Whether a server could listen there now, over IPv4 and, where the machine has it, IPv6."""
    return _can_bind(socket.AF_INET, "127.0.0.1", port) and (
        _can_bind(socket.AF_INET6, "::1", port) or not _can_bind(socket.AF_INET6, "::1", 0)
    )


def free_port() -> int:
    """A port that nobody listens on."""
    while not is_free(port := random.choice(_RANGE)):  # noqa: S311  # no secret
        pass
    return port


def kept_ports(path: Path, names: Iterable[str], *, preferred: dict[str, int]) -> dict[str, int]:
    """All ports of a file by their names; each of `names` has a free one, the same as before where that still is.

    Args:
        path: The file that remembers them.
        names: What the ports are for.
        preferred: What to try first where nothing is remembered.
    """
    known = {**preferred, **(json.loads(path.read_text()) if path.exists() else {})}
    for name in names:
        others = {port for other, port in known.items() if other != name}
        port = known.get(name) or free_port()
        while port in others or not is_free(port):
            port = free_port()
        known[name] = port
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=2))
    return known


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError:
        return False
    return True
