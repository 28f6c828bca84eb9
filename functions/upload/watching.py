"""Progress of jobs as Server-Sent Events (HTML Living Standard, section 9.2)."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator

from pymongo.errors import PyMongoError
from starlette.concurrency import run_in_threadpool

from audiolift.jobs import ENDED, Job, Jobs

log = logging.getLogger("upload")

TICK_S = 0.25
#: Proxies close a connection that is silent for long.
KEEPALIVE_S = 15
GONE: Job = {"state": "deleted", "progress": {"percent": 0.0, "eta_s": None}, "version": sys.maxsize}
FIELDS = {"state": 1, "progress": 1, "error": 1, "version": 1}


class Watcher:
    """Looks at all watched jobs with one query per tick, however many people watch."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._watched: Counter[str] = Counter()
        self._seen: dict[str, Job] = {}
        self._looked = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def watch(self, job: Job, *, version: int | None, watch_s: float) -> AsyncIterator[str]:
        """Yields the job's events from its state after `version` on, until it has ended or `watch_s` is over."""
        job_id = job["_id"]
        until = asyncio.get_running_loop().time() + watch_s
        self._watched[job_id] += 1
        self._looking = self._looking or asyncio.create_task(self._look())
        try:
            yield "retry: 1000\n\n"
            while True:
                if job["version"] != version:
                    version = job["version"]
                    yield event(job)
                if job["state"] in ENDED or (left := until - asyncio.get_running_loop().time()) <= 0:
                    return
                try:
                    job = await asyncio.wait_for(self._change(job_id, version), min(KEEPALIVE_S, left))
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._watched[job_id] -= 1
            if not self._watched[job_id]:
                del self._watched[job_id]

    async def _change(self, job_id: str, version: int | None) -> Job:
        async with self._looked:
            await self._looked.wait_for(lambda: job_id in self._seen and self._seen[job_id]["version"] > (version or 0))
            return self._seen[job_id]

    async def _look(self) -> None:
        while self._watched:
            try:
                found = await run_in_threadpool(self._query, list(self._watched))
                self._seen = {job_id: job for job_id, job in found.items() if job_id in self._watched}
            except PyMongoError as error:
                log.warning("progress cannot be read just now: %s", error)
            async with self._looked:
                self._looked.notify_all()
            await asyncio.sleep(TICK_S)
        self._looking = None

    def _query(self, ids: list[str]) -> dict[str, Job]:
        found = {job["_id"]: job for job in self._jobs.find({"_id": {"$in": ids}}, FIELDS)}
        return {job_id: found.get(job_id, GONE | {"_id": job_id}) for job_id in ids}


def event(job: Job) -> str:
    """One `progress` event; its id is the job's version, so a reconnecting client says where it stopped."""
    data = {"id": job["_id"], "state": job["state"], **job["progress"], "error": job.get("error")}
    return f"event: progress\nid: {job['version']}\ndata: {json.dumps(data)}\n\n"
