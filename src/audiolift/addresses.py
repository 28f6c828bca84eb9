"""Which addresses a request on somebody's behalf may go to: those of the public internet, and what the operator allows.

A name is looked up once, every address of it is checked, and the connection is made to what was checked: a name that
changes its address in between (DNS rebinding) leads nowhere else. Numbers in any form (`127.1`, `0x7f000001`) go the
same way, since the look-up reads them. Special addresses: RFC 6890 and IANA's registries that it has made.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
#: As `socket.getaddrinfo`.
Lookup = Callable[..., list[tuple[Any, ...]]]

#: Where on the public internet HTTPS is asked for; any other port may be a service that takes our bytes for its own.
PORTS = (443, 8443)
URL_LENGTH = 1000

_VISIBLE = re.compile(r"[\x21-\x7e]+")
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
#: What `is_global` of the standard library lets pass, in some of its versions or in all: protocol assignments, and
#: ways into an IPv4 network (6to4, Teredo).
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2002::/16", "3fff::/20")
]


class AddressError(Exception):
    """Where a request must not or cannot go; the text is a clause for whoever named the place."""


@dataclass(frozen=True)
class Place:
    """Where to connect: the name that the certificate must be for, the port, and the addresses that were checked."""

    host: str
    port: int
    addresses: tuple[Address, ...]


def parse_networks(text: str) -> Networks:
    """Reads networks as `10.1.0.0/16,fd00::/8`.

    Raises:
        ValueError: Says which one is none.
    """
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"names no network: {error}") from None


def parse_url(text: str) -> SplitResult:
    """An http(s) address; `locate` says whether it may be asked.

    Raises:
        AddressError: It is none, or has what we do not send.
    """
    try:
        url = urlsplit(text)
        url.port  # noqa: B018  # raises where it is none
    except ValueError:
        raise AddressError("its address is none.") from None
    if len(text) > URL_LENGTH or not _VISIBLE.fullmatch(text):
        raise AddressError(f"its address is more than {URL_LENGTH} characters, or not all are visible ASCII.")
    if url.scheme not in ("https", "http") or not url.hostname:
        raise AddressError("its address is not written like https://example.com/hook.")
    if "@" in url.netloc or url.fragment:
        raise AddressError("its address has a user name or a fragment.")
    return url


def locate(url: SplitResult, *, allowed: Networks, lookup: Lookup = socket.getaddrinfo) -> Place:
    """Looks the host of an address up and checks all that is found.

    Args:
        url: As `parse_url` gives it.
        allowed: Networks of the operator: there any port will do, and plain HTTP.
        lookup: Asked once.

    Raises:
        AddressError: The name is not known, or leads to an address that is not allowed.
    """
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = lookup(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise AddressError(f"the name {host} cannot be found.") from None
    # Without the zone of a link-local address.
    addresses = tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0].partition("%")[0]) for entry in found))
    outside = [address for address in addresses if not any(address in network for network in allowed)]
    if not all(is_public(address) for address in outside):
        raise AddressError(f"{host} leads to an address that is not on the public internet.")
    if outside and (url.scheme != "https" or port not in PORTS):
        raise AddressError(f"only https is allowed, on the ports {' and '.join(map(str, PORTS))}.")
    return Place(host, port, addresses)


def is_public(address: Address) -> bool:
    """Whether an address belongs to one machine on the public internet; one that stands for another counts as that."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(address.packed[-4:]))
        if address not in _GLOBAL_UNICAST:
            return False
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special
