"""Starts everything in order, keeps it running, and ends it in the opposite order."""

import asyncio
import contextlib
import functools
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pika.exceptions import AMQPError

from local import servers, wiring
from local.eventing import topology
from local.gateway import Gateway
from local.keeping import Kept, kept
from local.kinds.eventing import Broker
from local.kinds.serving import Service
from local.listener import Listener
from local.mailbox import Mailbox
from local.manifests import Manifests, load
from local.ports import kept_ports
from local.processes import Program
from local.replica import Site, launch
from local.revision import Revision
from local.routing import Router
from local.site import write_site
from local.status import control

_LOG = logging.getLogger(__name__)
_PORT_NAMES = ("public", "control", "mongod", "mariadb", "rabbitmq", "rabbitmq-distribution", "epmd", "smtp")

Report = Callable[[str], None]


class PlatformError(Exception):
    """The platform cannot start; says why."""


@dataclass(frozen=True)
class Addresses:
    """Where things are, as the file addresses.json in .local tells the other commands."""

    public_url: str
    control_url: str
    mongodb_uri: str
    mysql_url: str
    rabbitmq_url: str
    smtp_url: str

    @classmethod
    def read(cls, home: Path) -> "Addresses":
        """Those of the platform that is up.

        Raises:
            FileNotFoundError: None is, or it is not ready.
        """
        return cls(**json.loads((home / "addresses.json").read_text()))

    @staticmethod
    def forget(home: Path) -> None:
        """Removes them; also those that a run that was killed has left."""
        (home / "addresses.json").unlink(missing_ok=True)

    def write(self, home: Path) -> None:
        """Keeps them, readable by their owner only: an external server's address may hold a password."""
        path = home / "addresses.json.new"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2))
        path.replace(home / "addresses.json")


def manifests(root: Path, home: Path) -> Manifests:
    """The repository's objects and this machine's own.

    Raises:
        ManifestError: They are not right.
    """
    wiring = sorted(path for path in (root / "knative").glob("*.yaml") if path.name != "kustomization.yaml")
    return load([*wiring, home / "site.yaml"])


async def supervise(root: Path, home: Path, report: Report, ready: Callable[[Addresses], None]) -> None:
    """Runs the platform until it is cancelled.

    Args:
        root: The clone.
        home: Its .local.
        report: Told, in words, what has come up.
        ready: Called once everything is.

    Raises:
        ManifestError: The manifests are not right.
        StartError: A program did not start.
        SettingsError: RABBITMQ_URL is none.
        PlatformError: Something else is missing.
    """
    ports = kept_ports(home / "ports.json", _PORT_NAMES, preferred={"public": 8080})
    addresses = _addresses(ports, os.environ)
    _write_site(root, home, addresses)
    objects = manifests(root, home)
    _check_functions(root, objects)
    ports = kept_ports(home / "ports.json", wiring.port_names(objects), preferred={})
    site = Site(root, home, wiring.service_ports(objects, ports), wiring.sinks(objects, ports))
    programs = list(wiring.eventing_programs(objects, ports, root=root, home=home, rabbitmq_url=addresses.rabbitmq_url))

    def up(program: Program) -> None:
        report(f"{program.name} is up")

    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(_servers(home, ports, up))
        report("declaring the queues")
        await _declare(objects, addresses.rabbitmq_url, ports)
        revisions = await stack.enter_async_context(_revisions(objects, site))
        gateway = Gateway(revisions)
        for service in objects.of(Service):
            port, target = site.services[service.name], wiring.cluster_target(objects, service)
            await _serve(stack, gateway.cluster_local(port, target))
        running += await stack.enter_async_context(kept(programs, home, up))
        mailbox = Mailbox(home / "smtp/mails")
        await _serve(stack, control(ports["control"], revisions, running))
        await _serve(stack, gateway.public(ports["public"], Router(objects), mailbox.page))
        addresses.write(home)
        # First of all that ends, so that nobody asks what is about to close.
        stack.callback(Addresses.forget, home)
        ready(addresses)
        await asyncio.Event().wait()


def _addresses(ports: Mapping[str, int], environ: Mapping[str, str]) -> Addresses:
    return Addresses(
        public_url=f"http://localhost:{ports['public']}",
        control_url=f"http://127.0.0.1:{ports['control']}",
        mongodb_uri=environ.get("MONGODB_URI") or servers.mongodb_uri(ports["mongod"]),
        mysql_url=environ.get("MYSQL_URL") or servers.mysql_url(ports["mariadb"]),
        rabbitmq_url=environ.get("RABBITMQ_URL") or servers.rabbitmq_url(ports["rabbitmq"]),
        smtp_url=servers.smtp_url(ports["smtp"]),
    )


def _write_site(root: Path, home: Path, addresses: Addresses) -> None:
    write_site(
        home / "site.yaml",
        namespace=load([root / "knative/namespace.yaml"]).namespace,
        mysql_url=addresses.mysql_url,
        mongodb_uri=addresses.mongodb_uri,
        smtp_url=addresses.smtp_url,
        public_url=addresses.public_url,
        otlp_endpoint=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    )


def _check_functions(root: Path, objects: Manifests) -> None:
    for service in objects.of(Service):
        if not (root / "functions" / service.container.function / "start").exists():
            raise PlatformError(f"Service {service.name}: {service.container.image}: there is no such function")


@contextlib.asynccontextmanager
async def _servers(home: Path, ports: Mapping[str, int], up: Callable[[Program], None]) -> AsyncIterator[list[Kept]]:
    """Starts the servers that the environment does not name."""
    first: list[Program] = []
    then = [servers.smtp_catcher(home / "smtp", ports["smtp"])]
    if not os.environ.get("MONGODB_URI"):
        then.append(servers.mongod(home / "mongod", ports["mongod"]))
    if not os.environ.get("MYSQL_URL"):
        then.append(await asyncio.to_thread(servers.mariadb, home / "mariadb", ports["mariadb"]))
    if not os.environ.get("RABBITMQ_URL"):
        names = {"distribution_port": ports["rabbitmq-distribution"], "epmd_port": ports["epmd"]}
        first.append(servers.epmd(home / "rabbitmq", ports["epmd"]))
        then.append(servers.rabbitmq(home / "rabbitmq", ports["rabbitmq"], **names))
    async with kept(first, home, up) as early, kept(then, home, up) as late:
        yield [*early, *late]


async def _declare(objects: Manifests, rabbitmq_url: str, ports: Mapping[str, int]) -> None:
    specs = wiring.trigger_specs(objects, ports)
    for broker in objects.of(Broker):
        own = [spec for spec in specs if spec.broker == broker.name]
        try:
            await asyncio.to_thread(topology.declare, rabbitmq_url, broker.name, own)
        except AMQPError as error:
            raise PlatformError(f"RabbitMQ does not take the queues of the Broker {broker.name}: {error!r}") from None


@contextlib.asynccontextmanager
async def _revisions(objects: Manifests, site: Site) -> AsyncIterator[dict[str, Revision]]:
    revisions = {
        service.name: Revision(service, functools.partial(launch, service, manifests=objects, site=site))
        for service in objects.of(Service)
    }
    for revision in revisions.values():
        revision.open()
    try:
        yield revisions
    finally:
        await asyncio.gather(*(revision.close() for revision in revisions.values()))


async def _serve(stack: contextlib.AsyncExitStack, listener: Listener) -> None:
    listener.serve()
    stack.push_async_callback(listener.close)
