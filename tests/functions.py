"""A function as the image and the platform run it: its own `start`, in its own process, behind a free port."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from local.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 30


@dataclass(frozen=True)
class RunningFunction:
    """Where a function answers, its process (the leader of its own process group), and the file it logs to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def running(
    name: str, env: Mapping[str, str], *, ready: str = "/readyz", root: Path = ROOT
) -> Iterator[RunningFunction]:
    """Runs functions/<name>/start with `env` and a free PORT until the block ends.

    Args:
        name: The function's folder.
        env: Its settings; of this process's own environment it sees nothing but PATH.
        ready: The path that must answer 200 before the block begins.
        root: The clone whose function it is.

    Raises:
        AssertionError: With the log, where the function ends or is not ready within 30 s.
    """
    with tempfile.TemporaryDirectory(prefix=f"audiolift-{name}-") as folder:
        log = Path(folder) / "log"
        port = free_port()
        with log.open("wb") as sink:
            process = subprocess.Popen(
                ["./start"],
                cwd=root / "functions" / name,
                env={**_environment(folder), "PORT": str(port), **env},
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        function = RunningFunction(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait_until_ready(function, ready)
            yield function
        except BaseException:
            # pytest shows what was printed beside the failure.
            print(f"--- log of {name}\n{log.read_text(errors='replace')}")  # noqa: T201
            raise
        finally:
            _stop(process)


def deliver(url: str, event: Mapping[str, Any]) -> httpx.Response:
    """Sends an encoded event as the broker's dispatcher does, in binary mode."""
    headers = {f"ce-{name}": value for name, value in event.items() if name not in ("data", "datacontenttype")}
    return httpx.post(url, json=event["data"], headers=headers, timeout=600)


def _environment(folder: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "PYTHONPATH": str(ROOT / "src"), "HOME": folder, "TMPDIR": folder, "THREADS": "4"}


def _wait_until_ready(function: RunningFunction, path: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    answer = "nothing yet"
    while time.monotonic() < deadline:
        if function.process.poll() is not None:
            raise AssertionError(f"ended with status {function.process.returncode}:\n{function.log.read_text()}")
        with contextlib.suppress(httpx.TransportError):
            response = httpx.get(function.url + path, timeout=DEADLINE_S)
            if response.status_code == 200:
                return
            answer = f"{response.status_code} {response.text}"
        time.sleep(0.02)
    raise AssertionError(f"{path} answered {answer} for {DEADLINE_S} s:\n{function.log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
