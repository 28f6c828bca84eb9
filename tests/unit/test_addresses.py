"""Which addresses webhooks may call: every trick to get off the public internet is looked through."""

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from audiolift.addresses import AddressError, Place, is_public, locate, parse_networks, parse_url

LOCAL = (ip_network("127.0.0.0/8"), ip_network("fd00::/8"))


def finding(*addresses: str) -> Any:
    """A look-up that finds these."""

    def lookup(_: str, port: int, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return lookup


@pytest.mark.parametrize("address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_the_public_internet(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::",
        "2002:5db8:d70e::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_what_is_off_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0177.0.0.1", "0x7f000001", "2130706433", "0", "localhost", "[::1]", "[::ffff:7f00:1]"],
)
def test_this_machine_in_any_spelling(host: str) -> None:
    """The system's own look-up reads these, so nothing of ours has to."""
    with pytest.raises(AddressError, match="not on the public internet"):
        locate(parse_url(f"https://{host}/"), allowed=())


def test_one_bad_address_among_good_ones_is_enough() -> None:
    url = parse_url("https://example.com/hook")
    assert locate(url, allowed=(), lookup=finding("1.1.1.1", "2606:4700::1111")) == Place(
        "example.com", 443, (ip_address("1.1.1.1"), ip_address("2606:4700::1111"))
    )
    for bad in ("10.0.0.1", "::1", "fe80::1%eth0"):
        with pytest.raises(AddressError, match="not on the public internet"):
            locate(url, allowed=(), lookup=finding("1.1.1.1", bad))


def test_networks_of_the_operator_are_allowed_with_any_port_and_without_tls() -> None:
    for address in ("127.0.0.1", "fd00::1"):
        place = locate(parse_url("http://inside:9999/"), allowed=LOCAL, lookup=finding(address))
        assert (place.port, place.addresses) == (9999, (ip_address(address),))
    assert locate(parse_url("http://inside/"), allowed=LOCAL, lookup=finding("127.0.0.1")).port == 80
    with pytest.raises(AddressError, match="not on the public internet"):
        locate(parse_url("http://inside/"), allowed=LOCAL, lookup=finding("127.0.0.1", "10.0.0.1"))


@pytest.mark.parametrize("url", ["http://example.com/", "https://example.com:22/", "https://example.com:9999/"])
def test_only_https_on_its_ports_goes_to_the_internet(url: str) -> None:
    with pytest.raises(AddressError, match="only https is allowed, on the ports 443 and 8443"):
        locate(parse_url(url), allowed=LOCAL, lookup=finding("1.1.1.1", "127.0.0.1"))
    assert locate(parse_url("https://example.com:8443/"), allowed=(), lookup=finding("1.1.1.1")).port == 8443


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 70 + ".example", "a..b"])
def test_a_name_that_is_none(host: str) -> None:
    with pytest.raises(AddressError, match="cannot be found"):
        locate(parse_url(f"https://{host}/"), allowed=())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not all are visible ASCII"),
        ("example.com/hook", "not written like"),
        ("ftp://example.com/", "not written like"),
        ("https:///hook", "not written like"),
        ("https://example.com:99999/", "is none"),
        ("https://[::1/", "is none"),
        ("https://ada:secret@example.com/", "has a user name"),
        ("https://example.com/#part", "has a user name or a fragment"),
        ("https://example.com/\r\nX-Header: 1", "not all are visible ASCII"),
        ("https://exämple.com/", "not all are visible ASCII"),
        ("https://example.com/" + "a" * 1000, "more than 1000"),
    ],
)
def test_what_is_no_address(url: str, said: str) -> None:
    with pytest.raises(AddressError, match=said):
        parse_url(url)


def test_networks_as_a_setting() -> None:
    assert list(parse_networks("127.0.0.0/8, fd00::/8")) == list(LOCAL)
    with pytest.raises(ValueError, match=r"names no network: 10\.0\.0\.1/8 has host bits set"):
        parse_networks("10.0.0.1/8")
