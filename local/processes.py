"""Child processes: started in a session of their own, logged, waited for, and ended with everything they started.

Every child carries `AUDIOLIFT_HOME` in its environment. So whatever is left behind by a parent that was killed can be
found again (`sweep`), however deep it was started.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

MARKER = "AUDIOLIFT_HOME"
GRACE_S = 30.0
_TAIL_BYTES = 3000


class StartError(Exception):
    """A program ended or stayed silent instead of becoming ready; says so with the end of its log.

    Args:
        text: What happened.
        log: Where more about it stands.
    """

    def __init__(self, text: str, log: Path) -> None:
        super().__init__(text)
        self.log = log


async def at_once() -> bool:
    """The probe of a program that is ready as soon as it runs."""
    return True


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run and how to tell that it is ready.

    Attributes:
        name: Names the log as well.
        command: The argument list; never a shell.
        directory: The working directory, made when it is missing.
        environment: What it gets besides PATH, LANG and the marker; nothing is inherited.
        ready: One try of the readiness probe, within a second.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] = at_once


class Process:
    """A program that was started.

    Args:
        program: What to run.
        home: The marker's value; the log is `home`/logs/`name`.log, appended to.

    Raises:
        StartError: The command does not exist or may not be run.
    """

    def __init__(self, program: Program, home: Path) -> None:
        self.program = program
        self.log = home / "logs" / f"{program.name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        program.directory.mkdir(parents=True, exist_ok=True)
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(program.directory)}
        with self.log.open("ab") as output:
            self._start = output.tell()
            try:
                self._popen = subprocess.Popen(
                    program.command,
                    cwd=program.directory,
                    env={**base, **program.environment, MARKER: str(home)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise StartError(f"{program.name} could not be run: {error}", self.log) from None

    @property
    def pid(self) -> int:
        """The process id, which is the id of its session and process group as well."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        # WNOWAIT leaves it to `wait`, as its process group cannot be named any more once it is reaped.
        seen = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return self._popen.returncode is None and os.waitid(os.P_PID, self.pid, seen) is None

    async def wait(self) -> int:
        """Waits for its end and kills what is left of its process group; returns the status, negative for a signal."""
        if self._popen.returncode is None:
            await self._ended()
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()

    async def _ended(self) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        handle = os.pidfd_open(self.pid)
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    async def wait_ready(self, seconds: float) -> None:
        """Waits for the readiness probe.

        Raises:
            StartError: It ended, or was not ready within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self.program.ready():
                    if not self.running:
                        raise self._failure(f"ended with status {await self.wait()}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise self._failure(f"was not ready within {seconds:g} s") from None

    async def stop(self, grace: float = GRACE_S) -> None:
        """SIGTERM, and SIGKILL to its process group after `grace` seconds."""
        if self.running:
            self._popen.terminate()
            try:
                await asyncio.wait_for(self.wait(), grace)
            except TimeoutError:
                os.killpg(self.pid, signal.SIGKILL)
        await self.wait()

    def _failure(self, what: str) -> StartError:
        with self.log.open("rb") as log:
            log.seek(max(self._start, self.log.stat().st_size - _TAIL_BYTES))
            tail = log.read().decode(errors="replace").strip()
        return StartError(f"{self.program.name} {what}. The end of {self.log}:\n{tail}", self.log)


async def start(program: Program, home: Path, *, seconds: float = 60.0) -> Process:
    """Starts a program and waits until it is ready.

    Raises:
        StartError: It did not become ready within `seconds`; nothing of it is left running.
    """
    process = Process(program, home)
    try:
        await process.wait_ready(seconds)
    except BaseException:
        await process.stop(grace=1)
        raise
    return process


def sweep(home: Path, *, grace: float = GRACE_S) -> int:
    """Ends every process that carries `home` as its marker, and all their descendants; returns how many there were."""
    marked = [process for process in psutil.process_iter() if _marker(process) == str(home)]
    left = {process for parent in marked for process in (parent, *_descendants(parent))} - {psutil.Process()}
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        deadline = time.monotonic() + grace
        while any(map(_alive, left)) and time.monotonic() < deadline:
            time.sleep(0.05)
    return len(left)


def _marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None


def _alive(process: psutil.Process) -> bool:
    """Whether it runs; where nobody waits for orphans, they stay zombies."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def locked(path: Path) -> bool:
    """Whether somebody has the lock file; two who only look do not take each other for its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def lock(path: Path) -> IO[bytes] | None:
    """Takes the lock file for as long as this process lives or the answer stays open; None where another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
