"""The database: migrations, accounts with few rights, lost connections, restarts."""

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

import database as database_module
import schema
from audiolift.errors import TransientError
from database import Database, Server, parse_server
from schema import MIGRATIONS
from tests import outages
from tests.auth_helpers import EVENTING, KEYS, PASSWORD, PUBLIC_URL, connect, in_parallel
from tests.functions import running
from tests.waiting import until

_numbers = itertools.count(1)
NUMBERS = list(range(1, len(MIGRATIONS) + 1))


@pytest.fixture
def root(mariadb: str) -> Iterator[Any]:
    """A cursor of the administrator."""
    with contextlib.closing(connect(parse_server(mariadb))) as connection:
        yield connection.cursor(buffered=True)


@pytest.fixture
def server(mariadb: str, root: Any) -> Iterator[Server]:
    """Where there is no database yet."""
    _, _, address = mariadb.rpartition("@")
    found = parse_server(f"mysql://root@{address.partition('/')[0]}/auth_{next(_numbers)}")
    yield found
    root.execute(f"DROP DATABASE IF EXISTS {found.database}")


def migrations(database: Database) -> list[int]:
    with database.transaction() as cursor:
        cursor.execute("SELECT number FROM migrations ORDER BY number")
        return [number for (number,) in cursor.fetchall()]


def test_a_new_database_is_made_and_migrated_once_by_whoever_is_first(server: Server) -> None:
    assert in_parallel(6, lambda: migrations(Database(server, connections=1))) == [NUMBERS] * 6
    assert migrations(Database(server, connections=1)) == NUMBERS


def test_while_another_process_migrates_the_database_is_unavailable(
    server: Server, root: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LOCK_WAIT_S", 0)
    database = Database(server, connections=1)
    root.execute("SELECT GET_LOCK(%s, 0)", (f"audiolift.{server.database}",))
    assert failure(database).code == "unavailable"
    root.execute("SELECT RELEASE_LOCK(%s)", (f"audiolift.{server.database}",))
    assert migrations(database) == NUMBERS


def test_a_migration_whose_record_was_lost_can_run_again(server: Server) -> None:
    with Database(server, connections=1).transaction() as cursor:
        cursor.execute("DELETE FROM migrations")
    assert migrations(Database(server, connections=1)) == NUMBERS


def test_tables_are_transactional_and_hold_all_of_unicode(server: Server) -> None:
    with Database(server, connections=1).transaction() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
            " AND (engine != 'InnoDB' OR table_collation NOT LIKE 'utf8mb4%%')",
            (server.database,),
        )
        assert cursor.fetchall() == []


def test_who_may_not_make_databases_uses_the_one_there_is(server: Server, root: Any) -> None:
    password = "p@ss/w:rd %é"
    root.execute(f"CREATE DATABASE {server.database}")
    root.execute("CREATE USER 'auth'@'%' IDENTIFIED BY %s", (password,))
    root.execute(f"GRANT ALL ON {server.database}.* TO 'auth'@'%'")
    try:
        url = f"mysql://auth:{quote(password, safe='')}@{server.host}:{server.port}"
        assert migrations(Database(parse_server(f"{url}/{server.database}"), connections=1)) == NUMBERS
        with (
            pytest.raises(TransientError) as failed,
            Database(parse_server(f"{url}/another"), connections=1).transaction(),
        ):
            pass
        assert failed.value.code == "unavailable"
        assert password not in str(failed.value)
    finally:
        root.execute("DROP USER 'auth'@'%'")


def test_a_transaction_that_raises_leaves_nothing(server: Server) -> None:
    database = Database(server, connections=1)
    with pytest.raises(RuntimeError), database.transaction() as cursor:
        cursor.execute("DELETE FROM migrations")
        raise RuntimeError
    assert migrations(database) == NUMBERS


def test_more_transactions_than_connections_are_unavailable(server: Server) -> None:
    database = Database(server, connections=1)
    with database.transaction():
        with pytest.raises(TransientError) as failed:
            migrations(database)
        assert (failed.value.code, failed.value.retry_after) == ("unavailable", 1)
    assert migrations(database) == NUMBERS


def test_connections_that_the_server_closed_cause_no_error(server: Server, root: Any) -> None:
    database = Database(server, connections=4)
    assert migrations(database) == NUMBERS

    def connections() -> list[int]:
        root.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (server.database,))
        return [number for (number,) in root.fetchall()]

    # The connection that migrated is not one of the pool's.
    until(lambda: len(connections()) == 4)
    for number in connections():
        root.execute(f"KILL {number}")
    for _ in range(4):
        assert migrations(database) == NUMBERS


def test_an_answer_that_takes_too_long_spoils_no_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "TIMEOUT_S", 1)
    database = Database(server, connections=1)
    with pytest.raises(TransientError) as failed, database.transaction() as cursor:
        cursor.execute("SELECT SLEEP(5)")
    assert failed.value.code == "unavailable"
    assert migrations(database) == NUMBERS


def test_a_connection_lost_within_a_transaction_is_unavailable(server: Server, root: Any) -> None:
    database = Database(server, connections=1)
    with pytest.raises(TransientError) as failed, database.transaction() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        root.execute(f"KILL {cursor.fetchone()[0]}")
        cursor.execute("SELECT 1")
    assert failed.value.code == "unavailable"
    assert migrations(database) == NUMBERS


@pytest.fixture(scope="module")
def own(home: Path) -> Iterator[outages.Server]:
    with outages.running_mariadb(home) as server:
        yield server


def test_a_restart_of_the_server_is_outlived(own: outages.Server) -> None:
    environment = {"MYSQL_URL": own.url, "TOKEN_KEYS": KEYS, "THREADS": "4", "PUBLIC_URL": PUBLIC_URL, **EVENTING}
    credentials = ("ann@example.com", PASSWORD)
    with running("auth", environment) as function, httpx.Client(base_url=function.url, timeout=30) as client:
        client.post("/register", json={"email": "ann@example.com", "password": PASSWORD})
        with ThreadPoolExecutor(1) as threads:
            # The server stops while requests are in flight.
            stopping = threads.submit(own.stop)
            statuses = {client.get("/readyz").status_code for _ in iter(stopping.done, True)}
        assert statuses <= {200, 503}
        assert client.post("/login", auth=credentials).status_code == 503
        own.start()
        answers = in_parallel(12, lambda: client.post("/login", auth=credentials))
        assert {answer.status_code for answer in answers} <= {200, 429}
        assert 200 in {answer.status_code for answer in answers}


def test_a_server_that_hangs_is_unavailable_after_a_while(own: outages.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "TIMEOUT_S", 1)
    database = Database(parse_server(own.url), connections=4)
    assert migrations(database) == NUMBERS
    with own.frozen():
        failures = in_parallel(4, lambda: failure(database))
    assert {(failed.code, failed.retry_after) for failed in failures} == {("unavailable", 1)}
    # They do not wait for one another's timeouts in a row.
    assert any("others are waiting" in failed.cause for failed in failures)
    assert in_parallel(4, lambda: migrations(database)) == [NUMBERS] * 4


def failure(database: Database) -> TransientError:
    with pytest.raises(TransientError) as failed:
        migrations(database)
    return failed.value
