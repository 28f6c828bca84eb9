"""The tables, as numbered migrations that run once."""

from mysql.connector import DatabaseError
from mysql.connector.abstracts import MySQLConnectionAbstract

#: Number n is the nth; append only. One statement each, since MySQL commits after every one that changes a table, and
#: one that can run twice, since a process may end between the statement and its record.
MIGRATIONS = (
    # The mail address is compared without case; what is not ASCII is refused before.
    """
    CREATE TABLE IF NOT EXISTS users (
        id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
        email VARCHAR(254) CHARACTER SET ascii COLLATE ascii_general_ci NOT NULL UNIQUE,
        password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        disabled BOOLEAN NOT NULL DEFAULT FALSE,
        created_at DATETIME(6) NOT NULL
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
    # A login: the family of its refresh tokens. The seed makes a token's successor (see sessions.py).
    """
    CREATE TABLE IF NOT EXISTS sessions (
        id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
        user_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        seed CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        created_at DATETIME(6) NOT NULL,
        expires_at DATETIME(6) NOT NULL,
        INDEX (expires_at),
        FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
    """
    CREATE TABLE IF NOT EXISTS refresh_tokens (
        digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
        session_id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        expires_at DATETIME(6) NOT NULL,
        replaced_at DATETIME(6) NULL,
        FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
    # Whose attempts: the SHA-256 of what is counted, so that a table of failures is no list of people.
    """
    CREATE TABLE IF NOT EXISTS attempts (
        whose CHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
        count INT UNSIGNED NOT NULL,
        ends_at DATETIME(6) NOT NULL,
        INDEX (ends_at)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
    # Accounts that are gone, until the broker has been told.
    """
    CREATE TABLE IF NOT EXISTS deletions (
        id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
        deleted_at DATETIME(6) NOT NULL
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
    """,
)
#: How long one process waits for another that migrates; shorter than the read timeout.
LOCK_WAIT_S = 4


def migrate(connection: MySQLConnectionAbstract, *, lock: str) -> None:
    """Runs the migrations that this database has not seen; any number of processes may call it at once.

    Args:
        connection: To the database; holds the lock until it is closed.
        lock: Names the lock, which is one for the whole server.

    Raises:
        mysql.connector.Error: A migration failed, or another process holds the lock for longer than 4 s.
    """
    cursor = connection.cursor(buffered=True)
    cursor.execute("SELECT GET_LOCK(%s, %s)", (lock, LOCK_WAIT_S))
    if cursor.fetchone() != (1,):
        raise DatabaseError("another process is migrating the database")
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INT PRIMARY KEY, ran_at DATETIME(6) NOT NULL) ENGINE=InnoDB"
    )
    cursor.execute("SELECT number FROM migrations")
    done = {number for (number,) in cursor.fetchall()}
    for number, statement in enumerate(MIGRATIONS, 1):
        if number not in done:
            cursor.execute(statement)
            cursor.execute("INSERT INTO migrations VALUES (%s, UTC_TIMESTAMP(6))", (number,))
            connection.commit()
