"""Removes what belongs to no job: chunks, files, covers, segments and deliveries that a crash or a restore has left.

A job is there before anything of it is stored, and is forgotten after all of it was removed. So what names a job that
is not there is nobody's, whatever is under way. Each sweep goes on where the one before has stopped, so one is short
however much is stored. What has another kind of id, as `mongofiles put` makes them, is not ours and is left alone.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from audiolift import deliveries as delivery_store
from audiolift import jobs as job_store
from audiolift import segments as segment_store
from audiolift.jobs import Jobs
from audiolift.store import Bucket

#: Jobs that one sweep looks at in each place.
BATCH = 100
#: From the end of a place to its beginning.
PAUSE = timedelta(hours=1)

#: Not what goes on otherwise, as a longer hash does.
_JOB = re.compile(r"[0-9a-f]{24}(?=\.|\Z)")


@dataclass(frozen=True)
class Place:
    """A collection whose `key` begins with a job's id; `which` of its documents belong to jobs."""

    collection: Collection[dict[str, Any]]
    key: str
    which: dict[str, Any]

    def of(self, job_id: str) -> dict[str, Any]:
        """All of a job: its id, or that with a full stop and more; the stroke comes after that in ASCII."""
        return self.which | {self.key: {"$gte": job_id, "$lt": f"{job_id}/"}}

    def keys(self, after: str) -> Iterator[str]:
        """The first key of each job in turn, without reading what else it has; of what is no job's, all keys."""
        while found := self._first(after):
            key = str(found[self.key])
            yield key
            job = _JOB.match(key)
            after = f"{job[0]}/" if job else key

    def _first(self, after: str) -> dict[str, Any] | None:
        beyond = self.which | {self.key: {"$gt": after}}
        # Out of the index: a chunk is a megabyte.
        return self.collection.find_one(beyond, {"_id": 0, self.key: 1}, sort=[(self.key, ASCENDING)])


def remove(jobs: Jobs, mp3s: Bucket, scratch: Bucket, *, now: datetime) -> int:
    """Looks at the next jobs in each place. Returns of how many something was removed."""
    return sum(_remove(place, jobs, now) for place in _places(jobs.database, mp3s, scratch))


def _places(videos: Bucket, mp3s: Bucket, scratch: Bucket) -> Iterator[Place]:
    for bucket in (videos, mp3s, scratch):
        yield Place(bucket["fs.files"], "_id", {})
        yield Place(bucket["fs.chunks"], "files_id", {})
    yield Place(segment_store.collection(videos), "_id", {})
    yield Place(delivery_store.collection(videos), "job", {})
    # Those with an end are no job's.
    yield Place(videos["covers"], "_id", {"expires_at": None})


def _remove(place: Place, jobs: Jobs, now: datetime) -> int:
    stops, mine = jobs.database["sweeps"], {"_id": place.collection.full_name}
    stop = stops.find_one(mine) or {"after": "", "due_at": now}
    if stop["due_at"] > now:
        return 0
    seen = list(itertools.islice(place.keys(stop["after"]), BATCH))
    named = {job[0] for key in seen if (job := _JOB.match(key))}
    there = {"_id": {"$in": list(named)}}
    orphans = named - {
        # In this order, as they move from the one to the other.
        job["_id"]
        for known in (job_store.restored(jobs.database), jobs)
        for job in known.find(there, {"_id": 1})
    }
    for job_id in orphans:
        place.collection.delete_many(place.of(job_id))
    goes_on = {"after": seen[-1], "due_at": now} if len(seen) == BATCH else {"after": "", "due_at": now + PAUSE}
    stops.update_one(mine, {"$set": goes_on}, upsert=True)
    return len(orphans)
