"""Runs ffmpeg as a child that cannot outlive its deadline, its limits or this process.

Its input is hostile, so the kernel holds it: no new privileges, bounded memory, processor time and file size, no core
dump, and SIGKILL when the thread that started it ends, however that comes about (setpriv and prlimit of util-linux).
"""

import functools
import importlib.util
import math
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from audiolift.errors import TransientError

#: Is told about once a second how many seconds of output there are; raises to end the run.
Tick = Callable[[float], None]
#: Takes what comes out of a pipe.
Sink = Callable[[bytes], object]

TICK_S = 1.0
#: The end of what ffmpeg says is kept; a broken video can make it say a line per packet.
LOG_BYTES = 1024 * 1024
# Threads have their stacks in the memory that is limited: 8 MiB each by default, of which they touch a few KiB.
STACK_BYTES = 1024 * 1024
#: Beside those that it inherits, each of which it opens once more.
OPEN_FILES = 64

_REACHED = re.compile(rb"out_time_us=(\d+)\n")
_PIPE_BYTES = 65536


@dataclass(frozen=True)
class Limits:
    """Bounds of one run.

    Attributes:
        deadline: When it must have ended, on the clock of `time.monotonic`.
        memory_bytes: Private memory.
        file_bytes: The largest file it may write; more ends it with SIGXFSZ.
    """

    deadline: float
    memory_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status (negative for a signal), the ends of log and output, seconds of sound."""

    status: int
    log: str
    output: str
    reached_s: float


def run(
    arguments: Sequence[str], *, limits: Limits, tick: Tick, pass_fds: Sequence[int] = (), sink: Sink | None = None
) -> Outcome:
    """Runs ffmpeg to its end; whatever is raised here or in `tick`, nothing of it is left running.

    Args:
        arguments: All but the banner and the standard input.
        limits: Its bounds.
        tick: Is called from time to time.
        pass_fds: Open files that it inherits.
        sink: Takes the output as it comes. Then progress is read from the log.

    Raises:
        TransientError: `conversion_timeout`, at the deadline.
    """
    process = subprocess.Popen(
        [*_confinement(limits, OPEN_FILES + 2 * len(pass_fds)), executable(), "-hide_banner", "-nostdin", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # The log is parsed, and a proxy of the environment must not come between ffmpeg and the reader.
        env={"PATH": os.defpath, "LC_ALL": "C"},
        pass_fds=pass_fds,
        start_new_session=True,
    )
    with process:
        try:
            return _follow(process, limits.deadline, tick, sink)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def executable() -> str:
    """The binary in imageio-ffmpeg, found without the import (0.08 s) and its trial run.

    Raises:
        FileNotFoundError: imageio-ffmpeg is not installed, or has no binary for this platform.
    """
    spec = importlib.util.find_spec("imageio_ffmpeg")
    for folder in (spec and spec.submodule_search_locations) or ():
        for binary in Path(folder).glob("binaries/ffmpeg-*"):
            return str(binary)
    raise FileNotFoundError("imageio-ffmpeg has no ffmpeg for this platform")


def _confinement(limits: Limits, open_files: int) -> tuple[str, ...]:
    # What two busy threads can use until the deadline is seen: a bound that holds should this process be stopped.
    cpu_s = 2 * math.ceil(max(limits.deadline - time.monotonic(), 0) + TICK_S)
    return (
        "setpriv", "--pdeathsig", "KILL", "--no-new-privs",
        "prlimit", f"--cpu={cpu_s}", f"--data={limits.memory_bytes}", f"--stack={STACK_BYTES}",
        f"--fsize={limits.file_bytes}", f"--nofile={open_files}", "--core=0", "--",
    )  # fmt: skip


def _follow(process: subprocess.Popen[bytes], deadline: float, tick: Tick, sink: Sink | None) -> Outcome:
    log, output = bytearray(), bytearray()
    progress = output if sink is None else log
    with selectors.DefaultSelector() as pipes:
        for pipe, take in ((process.stderr, _end_of(log)), (process.stdout, sink or _end_of(output))):
            assert pipe is not None  # noqa: S101  # both were asked for
            pipes.register(pipe, selectors.EVENT_READ, take)
        for _ in _every(TICK_S, pipes):
            if time.monotonic() > deadline:
                raise TransientError("conversion_timeout", cause=_tail(log))
            tick(_reached_s(progress))
    return Outcome(process.wait(), _text(log), _text(output), _reached_s(progress))


def _end_of(kept: bytearray) -> Sink:
    def take(data: bytes) -> None:
        kept.extend(data)
        del kept[:-LOG_BYTES]

    return take


def _every(seconds: float, pipes: selectors.BaseSelector) -> Iterator[None]:
    """Hands on what the pipes bring until all are closed, and yields from time to time meanwhile."""
    due = time.monotonic() + seconds
    while pipes.get_map():
        for key, _ in pipes.select(max(0.0, due - time.monotonic())):
            data = os.read(key.fd, _PIPE_BYTES)
            if data:
                key.data(data)
            else:
                pipes.unregister(key.fileobj)
        if time.monotonic() >= due:
            yield
            due = time.monotonic() + seconds


def _reached_s(output: bytearray) -> float:
    reached = _REACHED.findall(output[-_PIPE_BYTES:])
    return int(reached[-1]) / 1_000_000 if reached else 0.0


def _tail(log: bytearray) -> str:
    return _text(log[-1000:])


def _text(data: bytearray) -> str:
    return data.decode(errors="replace")
