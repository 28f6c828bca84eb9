"""The whole platform with a line between any two of its parts, and a small disk for what is scratch."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from local.ports import kept_ports
from local.processes import sweep
from local.supervisor import Addresses
from tests.faults.lines import Line, Lines
from tests.platform_process import ROOT, Platform
from tests.token_keys import signed
from tests.waiting import until

#: Each line: who calls, and the name of the port that is called (in ports.json).
LINES = {
    "clients-gateway": "public",
    "auth-mariadb": "mariadb",
    "upload-mongod": "mongod",
    "convert-mongod": "mongod",
    "notify-mongod": "mongod",
    "auth-ingress": "broker-default",
    "upload-ingress": "broker-default",
    "convert-ingress": "broker-default",
    "notify-ingress": "broker-default",
    "upload-auth": "service-auth",
    "notify-smtp": "smtp",
    "ingress-rabbitmq": "rabbitmq",
    "dispatchers-rabbitmq": "rabbitmq",
    "dispatchers-upload": "service-upload",
    "dispatchers-convert": "service-convert",
    "dispatchers-notify": "service-notify",
}
SCRATCH_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class World:
    """A running platform.

    Attributes:
        platform: The platform.
        lines: The lines between its parts.
        ports: Its ports by their names, without the lines.
        scratch: The small disk, as this process sees it; None where one cannot be made on this machine.
    """

    platform: Platform
    lines: Lines
    ports: dict[str, int]
    scratch: Path | None

    @property
    def url(self) -> str:
        """Where clients call."""
        return f"http://127.0.0.1:{self.lines['clients-gateway'].port}"

    @property
    def addresses(self) -> Addresses:
        """Where the servers are, without the lines."""
        return Addresses.read(self.platform.home)

    @property
    def mails(self) -> Path:
        """The directory of the mails that were sent."""
        return self.platform.home / "smtp/mails"

    def token(self, email: str, *, hours: float) -> str:
        """An access token that auth would have signed so many hours later (or earlier) than now."""
        objects = yaml.safe_load_all((self.platform.home / "site.yaml").read_text())
        keys = next(one["stringData"]["keys"] for one in objects if one["metadata"]["name"] == "audiolift-tokens")
        at = int(time.time() + hours * 3600)
        return signed(json.loads(keys)["keys"][0], email=email, iat=at, exp=at + 900)

    def heal(self) -> None:
        """Makes all lines good."""
        for line in self.lines.values():
            line.delay_s, line.loses_answers, line.silent, line.closed = 0.0, False, False, False


@contextlib.contextmanager
def running(home: Path) -> Iterator[World]:
    """A `World` whose ports, data and logs are in `home`."""
    names = ["control", "rabbitmq-distribution", "epmd", *sorted({*LINES.values()})]
    ports = kept_ports(home / "ports.json", names, preferred={})
    (home / "scratch").mkdir(exist_ok=True)
    small = may_mount()
    with Lines({name: Line(ports[target]) for name, target in LINES.items()}).carried() as lines:
        platform = Platform(home)
        opened = json.dumps({name: line.port for name, line in lines.items()})
        with (home / "out").open("wb") as output:
            process = subprocess.Popen(
                [*(_small_scratch(home) if small else ()), sys.executable, "-m", "tests.faults.platform"],
                cwd=ROOT,
                env=platform.environment | {"LINES": opened},
                stdout=output,
                stderr=output,
            )
        try:
            until(lambda: (home / "addresses.json").exists() or process.poll() is not None, 120)
            assert process.poll() is None, (home / "out").read_text()
            inside = Path(f"/proc/{process.pid}/root") / home.relative_to("/") / "scratch"
            yield World(platform, lines, ports, inside if small else None)
        finally:
            process.terminate()
            process.wait(100)
            sweep(home)


def may_mount() -> bool:
    """Whether this machine lets its user have a disk that others do not see."""
    return subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode == 0


def _unshare() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]


def _small_scratch(home: Path) -> list[str]:
    """A command that runs another one with the scratch of all replicas on a disk of `SCRATCH_BYTES`."""
    mount = 'mount -t tmpfs -o size="$1" scratch "$2" && shift 2 && exec "$@"'
    return [*_unshare(), "sh", "-c", mount, "sh", str(SCRATCH_BYTES), str(home / "scratch")]
