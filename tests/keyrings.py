"""A keyring for tests, as the library keyring takes its backends: PYTHON_KEYRING_BACKEND names one of these classes."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

#: The backend of machines without a keyring.
NONE = "keyring.backends.fail.Keyring"
#: `Keyring` below.
SOME = f"{__name__}.Keyring"


class Keyring(KeyringBackend):
    """Keeps its secrets in the file that TEST_KEYRING names; locked where that is a folder."""

    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        """The secret, or None."""
        return self._secrets().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keeps the secret."""
        self._file().write_text(json.dumps(self._secrets() | {f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        """Forgets the secret."""
        left = self._secrets()
        if left.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError
        self._file().write_text(json.dumps(left))

    def _secrets(self) -> dict[str, str]:
        return json.loads(self._file().read_text()) if self._file().exists() else {}

    def _file(self) -> Path:
        path = Path(os.environ["TEST_KEYRING"])
        if path.is_dir():
            raise KeyringLocked
        return path
