import pytest

from attempts import client_address, parse_networks

PROXIES = parse_networks("10.0.0.0/8,127.0.0.0/8,fd00::/8")


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("", "192.0.2.1"),
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.7,203.0.113.9 ,", "203.0.113.9"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_the_client_is_the_last_hop(header: str, address: str) -> None:
    assert client_address(header, "192.0.2.1") == address


@pytest.mark.parametrize(
    ("header", "address"),
    [
        # Client, gateway, activator, as Knative has it; and with a hop that the client made up.
        ("203.0.113.9, 10.1.2.3, 10.4.5.6", "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9, 10.1.2.3, fd00::1", "203.0.113.9"),
        ("10.9.9.9, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("unknown, 10.1.2.3", "unknown"),
        ("10.1.2.3, 127.0.0.1", "10.1.2.3"),
        ("", "192.0.2.1"),
    ],
)
def test_our_own_proxies_are_no_clients(header: str, address: str) -> None:
    assert client_address(header, "192.0.2.1", trusted=PROXIES) == address
