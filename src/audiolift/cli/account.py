"""Who is logged in, and where: kept in the keyring, or else in one file that only its owner can read."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from audiolift.cli import os_keyring
from audiolift.cli.failures import LOGGED_OUT, Failure

#: An access token this close to its end is not used any more, in seconds: a request may take that long to arrive.
_MARGIN_S = 60
#: The names of the login in the keyring.
_KEPT_AS = ("audiolift", "login")


@dataclass(frozen=True)
class Account:
    """A login.

    Attributes:
        server: The address of the platform.
        email: Whose login it is.
        refresh_token: Good for one use.
        access_token: Good until `expires_at`.
        expires_at: By this machine's clock, in seconds since 1970.
    """

    server: str
    email: str
    refresh_token: str
    access_token: str
    expires_at: float

    @classmethod
    def from_login(cls, server: str, email: str, answer: dict[str, Any]) -> "Account":
        """The account of an answer of `POST /login` or `POST /token/refresh`."""
        return cls(server, email, answer["refresh_token"], answer["access_token"], time.time() + answer["expires_in"])


def path() -> Path:
    """Where the account is kept without a keyring, under `XDG_CONFIG_HOME`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "audiolift/account.json"


def load() -> Account:
    """The account that is logged in.

    Raises:
        Failure: Nobody is.
    """
    # The file first: there is one only where the keyring did not take the newest.
    try:
        text = path().read_text()
    except FileNotFoundError:
        text = os_keyring.read(*_KEPT_AS) or ""
    if not text:
        raise Failure(LOGGED_OUT, "You are not logged in. Please run `audiolift login` first.")
    try:
        return Account(**json.loads(text))
    except (ValueError, TypeError):
        raise Failure(LOGGED_OUT, "The login cannot be read. Please run `audiolift login` again.") from None


def save(account: Account) -> None:
    """Keeps the account in the place of the one before."""
    text = json.dumps(asdict(account))
    if os_keyring.write(*_KEPT_AS, text):
        path().unlink(missing_ok=True)
        return
    path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path().with_suffix(f".{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path())


def forget() -> None:
    """Removes the account."""
    path().unlink(missing_ok=True)
    os_keyring.remove(*_KEPT_AS)


class Bearer(httpx.Auth):
    """Sends the access token, a new one where it is about to end."""

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Adds the header."""
        request.headers["Authorization"] = f"Bearer {current().access_token}"
        yield request


def current() -> Account:
    """The account with an access token that is good for a while."""
    account = load()
    if account.expires_at - _MARGIN_S > time.time():
        return account
    # A refresh token that is used twice ends the login, so commands that run at the same time take turns.
    with _locked():
        account = load()
        return account if account.expires_at - _MARGIN_S > time.time() else _refreshed(account)


def _refreshed(account: Account) -> Account:
    answer = httpx.post(f"{account.server}/token/refresh", json={"refresh_token": account.refresh_token}, timeout=30)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Failure(LOGGED_OUT, "Your login has ended. Please run `audiolift login` again.")
    if answer.is_server_error:
        # As an answer of `client.ok`: whoever waits for the server asks again.
        raise httpx.RemoteProtocolError(f"The server answered {answer.status_code}.")
    answer.raise_for_status()
    fresh = Account.from_login(account.server, account.email, answer.json())
    save(fresh)
    return fresh


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path().with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
