"""Removes all that a deleted account has here, and keeps its tokens out for as long as there may be any.

The account's document becomes a mark with the time until which tokens may be good. What requests of before, or workers,
may have written since is removed once more after that, and the mark with it.
"""

from datetime import timedelta

from audiolift import deliveries as delivery_store
from audiolift import quotas
from audiolift import webhooks as webhook_store
from audiolift.jobs import Jobs
from audiolift.quotas import Account
from audiolift.tokens import Deletion

#: All that was begun with a token while it was good has ended by then.
GRACE = timedelta(minutes=15)

#: A deleted job says nothing of whose it was. Late events find it, and the sweep removes what it has stored.
_NOBODYS = [
    {
        "$replaceWith": {
            "_id": "$_id",
            "state": "deleted",
            "attempt": "$attempt",
            "outbox": [],
            "version": {"$add": ["$version", 1]},
            "updated_at": "$$NOW",
        }
    }
]


def erase(deletion: Deletion, *, jobs: Jobs) -> None:
    """Removes what an account has, but for what its jobs have stored, which the sweep removes; harmless if repeated."""
    # First: nothing is admitted any more.
    quotas.close(jobs.database, deletion.account, until=deletion.tokens_until)
    _remove(deletion.account, jobs)


def finish(account: Account, *, jobs: Jobs) -> None:
    """Removes once more what an account has, of which no token is left, and the mark."""
    _remove(account["_id"], jobs)
    quotas.forget(jobs.database, account)


def _remove(owner: str, jobs: Jobs) -> None:
    videos, mine = jobs.database, {"owner": owner}
    jobs.update_many(mine, _NOBODYS)
    videos["covers"].delete_many(mine)
    webhook_store.collection(videos).delete_many(mine)
    webhook_store.accounts(videos).delete_one({"_id": owner})
    delivery_store.collection(videos).delete_many(mine)
    videos["dead_letters"].delete_many({"attributes.subject": owner})
