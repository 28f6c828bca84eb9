"""TCP ports that are free on the loopback address."""

import random
import socket

# Below the kernel's range for outgoing connections, which could take the port between the choice and its use.
_RANGE = range(20000, 32000)


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on."""
    while not is_free(port := random.choice(_RANGE)):  # noqa: S311  # no secret
        pass
    return port
