"""MySQL or MariaDB behind a pool: connects and migrates at the first use, and outlives the server's restarts."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

import mysql.connector
from mysql.connector import MySQLConnection
from mysql.connector.errorcode import ER_BAD_DB_ERROR
from mysql.connector.pooling import CNX_POOL_MAXSIZE, MySQLConnectionPool, PooledMySQLConnection

from audiolift.errors import TransientError
from schema import migrate

#: The longest wait for a connection, for an answer, and for another thread that waits for one.
TIMEOUT_S = 5
RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Server:
    """Where the database is and who we are there."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str


def parse_server(url: str) -> Server:
    """Reads mysql://user:password@host:port/database with percent-encoded parts.

    Raises:
        ValueError: Says what the text is instead, without any of it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
    except ValueError:
        # Not chained: where the password is not encoded, the error shows some of it.
        raise ValueError("is no URL, or its password is not percent-encoded") from None
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "mysql" or not parts.hostname or not parts.username or parts.query or parts.fragment:
        raise ValueError("is not written mysql://user:password@host:port/database")
    if not re.fullmatch(r"\w{1,64}", database, re.ASCII):
        raise ValueError("names no database of letters, digits and '_'")
    return Server(parts.hostname, port, unquote(parts.username), unquote(parts.password or ""), database)


class Cursor(Protocol):
    """What is used of a cursor (PEP 249)."""

    def execute(self, statement: str, parameters: Sequence[object] | Mapping[str, object] = (), /) -> object:
        """Runs a statement, with its `%s` or `%(name)s` filled in."""

    def fetchone(self) -> Any:
        """The next row as a tuple, or None."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""


class Database:
    """The pool; one for a process, used by all of its threads.

    Args:
        server: Where it is.
        connections: How many transactions there can be at once, at most 32; more wait, and are `unavailable` after 5 s.
    """

    def __init__(self, server: Server, *, connections: int) -> None:
        self._server = server
        self._size = min(connections, CNX_POOL_MAXSIZE)
        self._free = threading.BoundedSemaphore(self._size)
        self._turn = threading.Lock()
        self._pool: MySQLConnectionPool | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A cursor whose statements all count when the block ends, or none where it raises.

        Raises:
            TransientError: unavailable, where the server cannot be reached, went away, is too slow, or gave up on a
                lock. Errors of the statements themselves come as mysql.connector has them.
        """
        with self._permit(), self._connection() as connection:
            try:
                yield cast(Cursor, connection.cursor(buffered=True))
                connection.commit()
            except BaseException:
                with contextlib.suppress(mysql.connector.Error):
                    connection.rollback()
                raise

    @contextlib.contextmanager
    def _permit(self) -> Iterator[None]:
        # The pool itself makes nobody wait: it refuses whom it has no connection for.
        if not self._free.acquire(timeout=TIMEOUT_S):
            raise _unavailable(mysql.connector.PoolError("all connections are in use"))
        try:
            yield
        finally:
            self._free.release()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[PooledMySQLConnection]:
        try:
            connection = self._take()
        except mysql.connector.Error as error:
            raise _unavailable(error) from error
        try:
            yield connection
        except (mysql.connector.IntegrityError, mysql.connector.ProgrammingError):
            raise
        except mysql.connector.Error as error:
            # A connection that was left in the middle of an answer can never connect again, and the pool would keep it.
            self._pool = None
            raise _unavailable(error) from error
        finally:
            connection.close()

    def _take(self) -> PooledMySQLConnection:
        # The pool makes all of its threads wait while one of them connects, without a limit; this is the limit.
        if not self._turn.acquire(timeout=TIMEOUT_S):
            raise mysql.connector.PoolError("others are waiting for a connection")
        try:
            pool = self._pool
            if pool is None:
                pool = self._pool = self._connected_pool()
            # Pings the connection it hands out and connects again where that fails: the server may have restarted.
            return pool.get_connection()
        finally:
            self._turn.release()

    def _connected_pool(self) -> MySQLConnectionPool:
        with contextlib.closing(_connect_or_create(self._server)) as connection:
            migrate(connection, lock=f"audiolift.{self._server.database}"[:64])
        return MySQLConnectionPool(
            pool_name="auth", pool_size=self._size, pool_reset_session=False, **_options(self._server)
        )


def _connect_or_create(server: Server) -> MySQLConnection:
    try:
        return MySQLConnection(**_options(server))
    except mysql.connector.Error as error:
        if error.errno != ER_BAD_DB_ERROR:
            raise
    connection = MySQLConnection(**{**_options(server), "database": None})
    connection.cursor().execute(f"CREATE DATABASE IF NOT EXISTS `{server.database}` CHARACTER SET utf8mb4")
    connection.cmd_init_db(server.database)
    return connection


def _options(server: Server) -> dict[str, object]:
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "database": server.database,
        # The C extension is in some wheels only: one behaviour for all.
        "use_pure": True,
        "charset": "utf8mb4",
        "collation": "utf8mb4_general_ci",
        "connection_timeout": TIMEOUT_S,
        "read_timeout": TIMEOUT_S,
        "write_timeout": TIMEOUT_S,
        # Who waited for a lock must see what its holder wrote; and the default's locks on the gaps between rows would
        # make people wait for each other who have nothing to do with one another.
        "init_command": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }


def _unavailable(error: mysql.connector.Error) -> TransientError:
    return TransientError("unavailable", cause=f"MySQL: {error}", retry_after=RETRY_AFTER_S)
