import socket

import pytest

import database
from audiolift.errors import TransientError
from database import Database, Server
from local.ports import free_port


def unavailable(port: int) -> TransientError:
    unreachable = Database(Server("127.0.0.1", port, "root", "hidden", "auth"), connections=2)
    with pytest.raises(TransientError) as failed, unreachable.transaction():
        pass
    return failed.value


def test_a_server_that_is_not_there_is_unavailable() -> None:
    failed = unavailable(free_port())
    assert (failed.code, failed.status, failed.retry_after) == ("unavailable", 503, 1)
    assert "hidden" not in str(failed)


def test_a_server_that_says_nothing_is_unavailable_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert unavailable(silent.getsockname()[1]).code == "unavailable"
