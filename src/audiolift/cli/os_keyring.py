"""Secrets in the keyring of the operating system, where there is one that is meant for secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")


def read(service: str, name: str) -> str | None:
    """The secret, if the keyring is there, is open and has it."""
    return _tried(lambda keyring: keyring.get_password(service, name))


def write(service: str, name: str, secret: str) -> bool:
    """Keeps a secret. False where no keyring takes it."""

    def keep(keyring: KeyringBackend) -> bool:
        keyring.set_password(service, name, secret)
        return True

    return _tried(keep) is True


def remove(service: str, name: str) -> None:
    """Removes the secret, if the keyring has it."""
    _tried(lambda keyring: keyring.delete_password(service, name))


def _tried(act: Callable[[KeyringBackend], T]) -> T | None:
    # Slow to import, and a login in a file needs none of it.
    import keyring  # noqa: PLC0415
    from keyring.errors import KeyringError  # noqa: PLC0415

    found = keyring.get_keyring()
    # Those that keyring itself does not recommend keep a plain file, or nothing.
    if found.priority < 1:
        return None
    try:
        return act(found)
    except KeyringError:
        return None
