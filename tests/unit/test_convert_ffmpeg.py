"""The run of an ffmpeg: followed, bounded, and never left behind."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

import ffmpeg
from audiolift.errors import TransientError
from ffmpeg import Limits
from tests.waiting import until

MIB = 1024 * 1024
#: Sound without end, faster than it is heard.
ENDLESS = ("-f", "lavfi", "-i", "sine=sample_rate=48000")
TO_NOWHERE = ("-progress", "pipe:1", "-nostats", "-f", "null", "-")
ROOT = Path(__file__).parents[2]


def limits(seconds: float = 60, *, memory: int = 384 * MIB, file: int = 64 * MIB) -> Limits:
    return Limits(time.monotonic() + seconds, memory, file)


def children() -> list[psutil.Process]:
    """Those of ffmpeg: servers of other tests may be running."""
    return [child for child in psutil.Process().children(recursive=True) if child.name().startswith("ffmpeg")]


class StopError(Exception):
    """Raised by a tick."""


def ignore(_reached_s: float) -> None:
    pass


def test_a_run_to_the_end() -> None:
    arguments = ("-v", "error", *ENDLESS, "-t", "12.5", *TO_NOWHERE)
    outcome = ffmpeg.run(arguments, limits=limits(), tick=ignore)
    assert (outcome.status, outcome.log, outcome.reached_s) == (0, "", 12.5)
    assert children() == []


def test_a_run_that_fails_says_why() -> None:
    outcome = ffmpeg.run(("-v", "error", "-i", "/nowhere", *TO_NOWHERE), limits=limits(), tick=ignore)
    assert outcome.status > 0
    assert "No such file" in outcome.log


def test_ticks_tell_how_far_it_is_and_end_it() -> None:
    reached: list[float] = []

    def tick(reached_s: float) -> None:
        reached.append(reached_s)
        if len(reached) == 3:
            assert children()
            raise StopError

    with pytest.raises(StopError):
        ffmpeg.run(("-v", "error", *ENDLESS, *TO_NOWHERE), limits=limits(), tick=tick)
    assert reached == sorted(reached)
    assert reached[-1] > reached[0] >= 0
    assert children() == []


def test_ticks_come_while_ffmpeg_is_silent() -> None:
    def tick(reached_s: float) -> None:
        assert reached_s == 0
        raise StopError

    with pytest.raises(StopError):
        ffmpeg.run(("-v", "error", *ENDLESS, "-f", "null", "-"), limits=limits(), tick=tick)


def test_the_deadline_ends_it() -> None:
    with pytest.raises(TransientError) as raised:
        ffmpeg.run((*ENDLESS, *TO_NOWHERE), limits=limits(1.0), tick=ignore)
    assert raised.value.code == "conversion_timeout"
    assert children() == []


def test_a_file_that_grows_too_large_ends_it() -> None:
    with tempfile.TemporaryFile() as target:
        arguments = ("-v", "error", *ENDLESS, "-f", "s16le", "-fd", str(target.fileno()), "fd:")
        run = ffmpeg.run(arguments, limits=limits(file=MIB), tick=ignore, pass_fds=(target.fileno(),))
        assert run.status == -signal.SIGXFSZ
        assert os.fstat(target.fileno()).st_size <= MIB


def test_memory_is_bounded() -> None:
    def log(size: str) -> str:
        picture = ("-v", "error", "-f", "lavfi", "-i", f"testsrc2=size={size}", "-frames:v", "1", *TO_NOWHERE)
        return ffmpeg.run(picture, limits=limits(), tick=ignore).log

    assert log("1600x900") == ""
    assert re.search("Cannot allocate memory|Resource temporarily unavailable", log("16000x16000"))


def test_a_flood_of_messages_is_cut_at_its_beginning() -> None:
    arguments = ("-v", "info", *ENDLESS, "-t", "300", "-af", "ashowinfo", *TO_NOWHERE)
    log = ffmpeg.run(arguments, limits=limits(), tick=ignore).log
    assert len(log) == ffmpeg.LOG_BYTES
    assert "muxing overhead" in log[-1000:]


def test_the_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=report.log:level=32")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    started: list[dict[str, str]] = []

    def tick(_reached_s: float) -> None:
        started.extend(child.environ() for child in children())
        raise StopError

    with pytest.raises(StopError):
        ffmpeg.run((*ENDLESS, *TO_NOWHERE), limits=limits(), tick=tick)
    assert started == [{"PATH": os.defpath, "LC_ALL": "C"}]


def test_limits_of_the_kernel() -> None:
    found: dict[str, object] = {}

    def tick(_reached_s: float) -> None:
        (child,) = children()
        found.update(
            group=os.getpgid(child.pid),
            pid=child.pid,
            core=child.rlimit(psutil.RLIMIT_CORE),
            data=child.rlimit(psutil.RLIMIT_DATA),
            cpu=child.rlimit(psutil.RLIMIT_CPU),
            new_privileges=Path(f"/proc/{child.pid}/status").read_text().partition("NoNewPrivs:\t")[2][0],
        )
        raise StopError

    with pytest.raises(StopError):
        ffmpeg.run((*ENDLESS, *TO_NOWHERE), limits=limits(60), tick=tick)
    assert found["group"] == found["pid"] != os.getpgid(0)
    assert (found["core"], found["data"]) == ((0, 0), (384 * MIB, 384 * MIB))
    assert found["cpu"] == (122, 122)
    assert found["new_privileges"] == "1"


def test_it_does_not_outlive_its_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time, ffmpeg; ffmpeg.run("
            f"{(*ENDLESS, *TO_NOWHERE)!r}, limits=ffmpeg.Limits(time.monotonic() + 60, {384 * MIB}, 1), tick=print)",
        ],
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'functions/convert'}", "PATH": os.defpath},
        stdout=subprocess.DEVNULL,
    )
    started = psutil.Process(parent.pid)
    child = until(lambda: next((child for child in started.children() if child.name().startswith("ffmpeg")), None))
    assert child
    parent.kill()
    parent.wait()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
