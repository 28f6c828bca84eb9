"""One replica of a Service: its function's production command, in the environment that the manifest describes."""

import functools
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.http import responds
from local.kinds.serving import Service
from local.manifests import CLUSTER_URL, Manifests
from local.ports import free_port
from local.processes import Process, Program, StartError, start

_READY_S = 60.0


@dataclass(frozen=True)
class Site:
    """Where things are on this machine.

    Attributes:
        root: The clone, with functions/, src/ and .local/venvs/.
        home: Where logs and scratch directories go; the marker of all processes.
        services: The loopback port of each Service, which stands for its cluster address.
        sinks: The address of each Service's sink, for K_SINK.
    """

    root: Path
    home: Path
    services: Mapping[str, int]
    sinks: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Replica:
    """A running replica that was ready once.

    Attributes:
        slot: Its number among the Service's replicas; also in its log's name.
        port: Where it listens.
        process: Its process.
        scratch: Its /tmp, removed with it.
        in_flight: How many requests it has.
    """

    slot: int
    port: int
    process: Process
    scratch: Path
    in_flight: int = 0

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after 30 s; then its scratch directory is removed."""
        await self.process.stop()
        shutil.rmtree(self.scratch, ignore_errors=True)


async def launch(service: Service, slot: int, *, manifests: Manifests, site: Site) -> Replica:
    """Starts a replica and waits until its readinessProbe succeeds.

    Raises:
        StartError: It ended or was not ready within a minute.
    """
    try:
        return await _launch(service, slot, manifests, site)
    except OSError as error:
        name = f"{service.name}-{slot}"
        raise StartError(f"{name} could not be started: {error}", site.home / f"logs/{name}.log") from None


async def _launch(service: Service, slot: int, manifests: Manifests, site: Site) -> Replica:
    port = free_port()
    scratch = site.home / "scratch" / f"{service.name}-{slot}"
    # A supervisor that was killed could not remove it.
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    folder = site.root / "functions" / service.container.function
    program = Program(
        name=f"{service.name}-{slot}",
        command=(str(folder / "start"),),
        directory=folder,
        environment=environment(service, port, scratch, manifests=manifests, site=site),
        ready=functools.partial(responds, port, service.container.readiness_probe.http_get.path),
    )
    try:
        process = await start(program, site.home, seconds=_READY_S)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Replica(slot, port, process, scratch)


def environment(service: Service, port: int, scratch: Path, *, manifests: Manifests, site: Site) -> dict[str, str]:
    """What a replica's process gets, and nothing else but LANG and the marker."""
    own = site.root / ".local/venvs" / service.container.function / "bin"
    found = {
        "PATH": os.pathsep.join([str(own), os.environ["PATH"]]),
        "HOME": str(scratch),
        "PYTHONPATH": str(site.root / "src"),
        # What a function prints is in its log at once.
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        # Nobody but this machine; a function listens everywhere where this is not set.
        "HOST": "127.0.0.1",
        "K_SERVICE": service.name,
        "K_CONFIGURATION": service.name,
        "K_REVISION": f"{service.name}-00001",
    }
    for variable in service.container.env:
        value = manifests.value(variable)
        if value is not None:
            found[variable.name] = _on_this_machine(value, site.services)
    if sink := site.sinks.get(service.name):
        found["K_SINK"] = sink
    if service.container.volume_mounts:
        found["TMPDIR"] = str(scratch)
    return found


def _on_this_machine(value: str, services: Mapping[str, int]) -> str:
    def address(match: re.Match[str]) -> str:
        return f"http://127.0.0.1:{services[match[1]]}"

    return CLUSTER_URL.sub(address, value)
