"""Limits on logins and registrations, per account and per client address, counted in MySQL for all replicas together.

An attempt is counted before it is tried, so that attempts at the same time cannot get past the limit together. Windows
are fixed: they begin with the first attempt, and further ones do not make them longer.
"""

import hashlib
import ipaddress

from audiolift.errors import PermanentError
from database import Database

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

#: Windows that are over and are removed with each attempt: more than one attempt adds.
_CLEANED = 10

_COUNT = """
    INSERT INTO attempts (whose, count, ends_at) VALUES (%(whose)s, 1, UTC_TIMESTAMP(6) + INTERVAL %(window_s)s SECOND)
    ON DUPLICATE KEY UPDATE
        count = IF(ends_at <= UTC_TIMESTAMP(6), 1, count + 1),
        ends_at = IF(ends_at <= UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL %(window_s)s SECOND, ends_at)
"""
_LEFT = "SELECT count, CEIL(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), ends_at) / 1e6) FROM attempts WHERE whose = %s"


def parse_networks(text: str) -> Networks:
    """Reads networks in CIDR notation, separated by commas.

    Raises:
        ValueError: Says which is none.
    """
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"is no list of networks: {error}") from None


def client_address(forwarded_for: str, peer: str, *, trusted: Networks = ()) -> str:
    """The client's address, as the last hop of X-Forwarded-For that is not one of our own proxies.

    Every proxy appends the address that it was called from, so only the end of the header is ours; what stands before
    was sent by the client, who may write anything. On Knative the activator and the queue proxy append as well: there
    the proxies' network must be named, or all clients share the gateway's address.

    Args:
        forwarded_for: The header, or nothing.
        peer: Who called us, for where there is no header.
        trusted: The networks of our own proxies.
    """
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()] or [peer]
    return next((hop for hop in reversed(hops) if not _is_within(hop, trusted)), hops[0])


def _is_within(hop: str, networks: Networks) -> bool:
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in networks)


def count_attempt(
    email: str, address: str, *, database: Database, per_account: int, per_address: int, window_s: int
) -> None:
    """Counts an attempt on an account from a client address.

    Raises:
        PermanentError: too_many_attempts, with the seconds that are left of the window.
    """
    _clean(database=database)
    # The address first: one that is blocked already must not go on to block accounts.
    for whose, limit in ((_address(address), per_address), (_account(email), per_account)):
        with database.transaction() as cursor:
            cursor.execute(_COUNT, {"whose": whose, "window_s": window_s})
            cursor.execute(_LEFT, (whose,))
            count, seconds = cursor.fetchone()
        if count > limit:
            wait = max(1, int(seconds))
            raise PermanentError("too_many_attempts", retry_after=wait, seconds=wait)


def forgive(email: str, *, database: Database) -> None:
    """Forgets an account's attempts. Those of the address stay, or one good login would buy a hundred more guesses."""
    with database.transaction() as cursor:
        cursor.execute("DELETE FROM attempts WHERE whose = %s", (_account(email),))


def _clean(*, database: Database) -> None:
    with database.transaction() as cursor:
        # Who cleans waits for nobody, and so is no part of a deadlock with who counts.
        cursor.execute(
            "SELECT whose FROM attempts WHERE ends_at <= UTC_TIMESTAMP(6) LIMIT %s FOR UPDATE SKIP LOCKED", (_CLEANED,)
        )
        for row in cursor.fetchall():
            cursor.execute("DELETE FROM attempts WHERE whose = %s", row)


def _account(email: str) -> str:
    return hashlib.sha256(f"account {email.lower()}".encode()).hexdigest()


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return hashlib.sha256(f"address {text}".encode()).hexdigest()
    # One subscriber has a whole /64 (RFC 6177), and so 2^64 addresses to try from.
    network = ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False)
    return hashlib.sha256(f"address {network}".encode()).hexdigest()
