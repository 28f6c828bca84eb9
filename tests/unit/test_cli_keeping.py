"""Where the command line client keeps a login and finds the admin key: the keyring, a file, the environment."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import keyring
import pytest
from keyring.backends import fail, null
from typer.testing import CliRunner

from audiolift.cli import account, main
from audiolift.cli.failures import LOGGED_OUT, USAGE, Failure
from tests.keyrings import Keyring
from tests.receivers import receiver

LOGIN = account.Account("http://server", "a@example.com", "refresh", "access", 1.0)


def use(backend: Any) -> None:
    keyring.set_keyring(backend())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The only place that the client may keep something in; at first without a keyring."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring"))
    before = keyring.get_keyring()
    use(fail.Keyring)
    yield tmp_path
    keyring.set_keyring(before)


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring])
def test_without_a_keyring_the_login_is_in_a_file_for_its_owner_alone(folder: Path, backend: type) -> None:
    use(backend)
    account.save(LOGIN)
    account.save(LOGIN)
    assert account.load() == LOGIN
    assert stat.S_IMODE(account.path().stat().st_mode) == 0o600
    assert [path.name for path in account.path().parent.iterdir()] == ["account.json"]
    account.forget()
    with pytest.raises(Failure) as failed:
        account.load()
    assert failed.value.exit_code == LOGGED_OUT


def test_a_keyring_keeps_the_login_and_nothing_is_in_a_file(folder: Path) -> None:
    account.save(LOGIN)
    use(Keyring)
    # One from before there was a keyring.
    assert account.load() == LOGIN
    account.save(LOGIN)
    assert not account.path().exists()
    assert json.loads((folder / "keyring").read_text())["audiolift/login"]
    assert account.load() == LOGIN
    account.forget()
    assert json.loads((folder / "keyring").read_text()) == {}
    account.forget()
    with pytest.raises(Failure, match="audiolift login"):
        account.load()


def test_a_server_that_cannot_renew_a_login_just_now_is_asked_again(folder: Path) -> None:
    with receiver() as server:
        server.status = 503
        account.save(account.Account(f"http://127.0.0.1:{server.port}", "a@example.com", "old", "old", 0))
        with pytest.raises(httpx.TransportError):
            account.current()
    assert account.load().refresh_token == "old"


def test_a_keyring_that_is_locked_leaves_it_to_the_file(folder: Path) -> None:
    use(Keyring)
    account.save(LOGIN)
    kept = (folder / "keyring").read_text()
    (folder / "keyring").unlink()
    (folder / "keyring").mkdir()
    newer = account.Account("http://server", "a@example.com", "newer", "access", 2.0)
    account.save(newer)
    (folder / "keyring").rmdir()
    (folder / "keyring").write_text(kept)
    # Open again, it has the login of before, whose refresh token was used.
    assert account.load() == newer


@pytest.mark.parametrize("text", ["{", "[]", '{"server": 1}'])
def test_a_broken_login_asks_for_a_login(folder: Path, text: str) -> None:
    account.path().parent.mkdir(parents=True)
    account.path().write_text(text)
    with pytest.raises(Failure, match="audiolift login"):
        account.load()


def test_the_operator_is_asked_for_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(*arguments: str) -> str:
        result = CliRunner().invoke(main.app, arguments)
        assert isinstance(result.exception, Failure)
        assert result.exception.exit_code in (USAGE, LOGGED_OUT)
        return str(result.exception)

    monkeypatch.delenv("AUDIOLIFT_ADMIN_KEY", raising=False)
    monkeypatch.delenv("AUDIOLIFT_SERVER", raising=False)
    assert "--server" in refusal("dead-letters", "list")
    assert "--admin-key-stdin" in refusal("dead-letters", "list", "--server", "http://localhost:1")
    monkeypatch.setenv("AUDIOLIFT_ADMIN_KEY", "key")
    assert "--password-stdin" in refusal("users", "add", "a@example.com", "--server", "http://localhost:1")
    assert "--yes" in refusal("dead-letters", "drop", "1", "--server", "http://localhost:1")
