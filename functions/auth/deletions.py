"""Deleted accounts: gone here at once, and told to whoever has the rest of what is theirs (ADR 0034).

An account and its note in `deletions` change in one transaction, so what is deleted is told, and nothing else is. The
note has an id and no more, and goes when the broker has the event; what is left over, the sweep sends.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from accounts import User
from audiolift import events
from audiolift.publish import Publish
from audiolift.tokens import LEEWAY_S
from database import Database

_AT_ONCE = 100


def delete(user: User, *, database: Database) -> None:
    """Removes an account with its sessions, and notes that this is to be told; harmless when repeated."""
    with database.transaction() as cursor:
        cursor.execute("INSERT IGNORE INTO deletions VALUES (%s, UTC_TIMESTAMP(6))", (user.id,))
        cursor.execute("DELETE FROM users WHERE id = %s", (user.id,))


def announce(*, database: Database, publish: Publish, state: Callable[[str, datetime], str], token_s: int) -> int:
    """Tells of the accounts that were deleted.

    Args:
        database: Where they were.
        publish: Sends an event.
        state: Signs that an account is deleted, and until when it may have access tokens.
        token_s: How long an access token is good, in seconds.

    Returns:
        How many there were.

    Raises:
        TransientError: `unavailable`, where the broker does not take an event; it and those after it stay.
    """
    with database.transaction() as cursor:
        cursor.execute("SELECT id, deleted_at FROM deletions ORDER BY deleted_at LIMIT %s", (_AT_ONCE,))
        due = cursor.fetchall()
    for user_id, deleted_at in due:
        # The clocks of others may be behind.
        until: datetime = deleted_at.replace(tzinfo=UTC) + timedelta(seconds=token_s + LEEWAY_S)
        event = events.AccountDeleted(user_id, state(user_id, until))
        publish(events.encode(event, source="auth"))
        with database.transaction() as cursor:
            cursor.execute("DELETE FROM deletions WHERE id = %s", (user_id,))
    return len(due)
