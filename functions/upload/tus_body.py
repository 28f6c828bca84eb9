"""Takes the bytes of one request into an upload: stored as they come, recorded every second and at the end."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

import tus_state
from audiolift import jobs as job_store
from audiolift import store
from audiolift.errors import PermanentError
from audiolift.jobs import Job, Jobs
from audiolift.store import BATCH, Bucket
from pacing import TooSlowError
from tus_chunks import ResumingWriter
from tus_headers import Checksum
from tus_state import RECORD_S, Terms


class Intake:
    """Reads a body ahead while what came before is being stored: a batch and a piece at most."""

    def __init__(self, body: AsyncIterator[bytes], *, limit: int, beyond: PermanentError) -> None:
        self._limit = limit
        self._beyond = beyond
        self._pieces: list[bytes] = []
        self._held = 0
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read(body))

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """Yields what has come whenever that is a batch, and every `RECORD_S`, be it nothing.

        Raises:
            ClientDisconnect: The connection was cut; all that came was yielded.
            TooSlowError: It comes too slowly; all that came was yielded.
            PermanentError: `beyond`, for more bytes than `limit`.
        """
        while not self._reading.done() or self._pieces:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), RECORD_S)
            pieces, self._pieces, self._held = self._pieces, [], 0
            self._room.set()
            if not self._reading.done():
                self._due.clear()
            yield pieces
        await self._reading

    def stop(self) -> None:
        """Ends the reading, also in the middle."""
        self._reading.cancel()

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for piece in body:
                self._limit -= len(piece)
                if self._limit < 0:
                    raise self._beyond
                self._pieces.append(piece)
                self._held += len(piece)
                if self._held >= BATCH:
                    self._room.clear()
                    self._due.set()
                    await self._room.wait()
        finally:
            self._due.set()


class Appending:
    """One writer's work on an upload; each method is called in a thread, one after the other."""

    def __init__(self, job: Job, *, jobs: Jobs, videos: Bucket, terms: Terms, checksum: Checksum | None) -> None:
        tus = job["tus"]
        self._job = job
        self._jobs = jobs
        self._videos = videos
        self._terms = terms
        self._allowance = tus_state.allowance(jobs, job, terms=terms)
        self._checksum = checksum
        self._recorded_at = time.monotonic()
        self._writer = ResumingWriter(
            videos,
            job["_id"],
            offset=tus["offset"],
            number=tus["writer"],
            hashed=tus["hashed"],
        )

    def store(self, pieces: Sequence[bytes]) -> None:
        """Stores the next bytes, and records how far they reach if that was not done for `RECORD_S`."""
        self._allowance.cover(self._writer.size + sum(map(len, pieces)))
        if self._checksum:
            self._checksum.update(pieces)
        self._writer.write_all(pieces)
        if time.monotonic() - self._recorded_at >= RECORD_S:
            # Bytes with a checksum count only when it is seen to be right. The last byte makes a job: see `settle`.
            tus = self._job["tus"]
            wait = self._checksum or self._writer.size in (tus["offset"], tus["length"])
            self._keep_alive() if wait else self._record(busy=True)

    def settle(self) -> Job:
        """Records all that was stored, and makes the job if that is the whole video.

        Raises:
            PermanentError: `checksum_mismatch`, `upload_taken_over`.
        """
        if self._checksum:
            self._checksum.verify()
        tus = self._job["tus"]
        if self._writer.size != tus["length"]:
            self._record(busy=False)
            return self._job
        video = self._writer.close()
        return job_store.finish_upload(
            self._jobs,
            self._job["_id"],
            video,
            name=tus["name"],
            options=tus["options"],
            hold=tus["hold"],
            webhook=tus["webhook"],
            tus_writer=tus["writer"],
        )

    def salvage(self) -> Job:
        """As `settle`, after the connection was cut. Bytes that nothing tells to be right are not kept."""
        return self._job if self._checksum else self.settle()

    def give_up(self, error: BaseException) -> None:
        """Lets go of the upload after an error; where a newer writer has it, with what this one has not recorded."""
        tus_state.release(self._jobs, self._job)
        # Not after any other error: the job may be complete, and only the answer that says so was lost.
        if isinstance(error, PermanentError) and error.code == "upload_taken_over":
            self._writer.remove_from(self._job["tus"]["offset"])
            if self._jobs.find_one({"_id": self._job["_id"], "state": "deleted"}, {"_id": 1}):
                # Stored after what was there had been removed.
                store.delete(self._videos, self._job["_id"])

    def _record(self, *, busy: bool) -> None:
        self._writer.flush()
        tus_state.record(
            self._jobs, self._job, self._writer.size, hashed=self._writer.hashed(), busy=busy, terms=self._terms
        )
        self._recorded_at = time.monotonic()

    def _keep_alive(self) -> None:
        tus = self._job["tus"]
        tus_state.record(self._jobs, self._job, tus["offset"], hashed=tus["hashed"], busy=True, terms=self._terms)
        self._recorded_at = time.monotonic()


async def append(
    begin: Callable[[], Appending], body: AsyncIterator[bytes], *, room: int, beyond: PermanentError
) -> Job:
    """Adds a body to an upload.

    Returns:
        The job, complete or not, with its new offset.

    Raises:
        PermanentError: `upload_incomplete`, `too_slow` (with both, what came is kept), `beyond`, `upload_taken_over`,
            `checksum_mismatch`.
    """
    appending = await run_in_threadpool(begin)
    intake = Intake(body, limit=room, beyond=beyond)
    try:
        return await _take(appending, intake)
    except BaseException as error:
        await asyncio.shield(asyncio.create_task(run_in_threadpool(appending.give_up, error)))
        raise
    finally:
        intake.stop()


async def _take(appending: Appending, intake: Intake) -> Job:
    try:
        async for pieces in intake.batches():
            await run_in_threadpool(appending.store, pieces)
    except (ClientDisconnect, TooSlowError) as error:
        job = await run_in_threadpool(appending.salvage)
        if tus_state.is_open(job):
            raise (error if isinstance(error, TooSlowError) else PermanentError("upload_incomplete")) from None
        return job
    return await run_in_threadpool(appending.settle)
