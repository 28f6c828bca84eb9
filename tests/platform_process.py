"""The platform as a person runs it: by its commands, in processes of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from local import status
from local.processes import MARKER
from local.supervisor import Addresses

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Platform:
    """A platform with a directory of its own for ports, data and logs.

    Attributes:
        home: That directory.
        root: The clone that it runs.
        otlp_endpoint: Where its functions send spans, if anywhere.
    """

    home: Path
    root: Path = ROOT
    otlp_endpoint: str = ""

    @property
    def url(self) -> str:
        """The public address."""
        return Addresses.read(self.home).public_url

    @property
    def environment(self) -> dict[str, str]:
        """What its commands are called with."""
        own = {"AUDIOLIFT_STATE": str(self.home), "PYTHONPATH": str(self.root / "src")}
        return {**os.environ, **own, "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_endpoint}

    def command(self, name: str, *more: str) -> str:
        """What `python -m local NAME MORE` prints.

        Raises:
            AssertionError: With that, where it fails.
        """
        done = self.run(name, self.environment, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, name: str, environment: Mapping[str, str], *more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            (*self.arguments(name), *more), cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def begin(self, name: str) -> subprocess.Popen[str]:
        """Starts a command; all that it prints is in its one pipe."""
        return subprocess.Popen(
            self.arguments(name),
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def arguments(self, name: str) -> tuple[str, ...]:
        """The command line of a command."""
        return (sys.executable, "-m", "local", name)

    def status(self) -> dict[str, Any]:
        """Services and processes as they are now."""
        return status.ask(Addresses.read(self.home).control_url)

    def pid(self, name: str) -> int | None:
        """The process of this name, as its log has it: `rabbitmq`, `convert-0`, `trigger-convert`."""
        pids: dict[str, int] = self.status()["processes"]
        return pids.get(name)

    def log(self, name: str) -> str:
        """What the process of this name has logged."""
        return (self.home / "logs" / f"{name}.log").read_text()

    def left(self) -> list[str]:
        """The command lines of all processes that belong to it."""
        return [" ".join(process.cmdline()) for process in psutil.process_iter() if self._owns(process)]

    def listening(self) -> list[tuple[str, str, int]]:
        """The program, address and port of every TCP socket that they listen on."""
        return [
            (process.name(), socket.laddr.ip, socket.laddr.port)
            for process in psutil.process_iter()
            if self._owns(process)
            for socket in process.net_connections("tcp")
            if socket.status == psutil.CONN_LISTEN
        ]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARKER) == str(self.home)
        except psutil.Error:
            return False
