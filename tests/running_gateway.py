"""A gateway in the test's own event loop, in front of the functions in tests/integration/gateway_functions."""

import asyncio
import contextlib
import functools
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from local.gateway import Gateway
from local.kinds.serving import Service
from local.manifests import Manifests, load
from local.ports import free_port
from local.processes import sweep
from local.replica import Site, launch
from local.revision import Revision
from local.routing import Router, Target

FUNCTIONS = Path(__file__).parent / "integration/gateway_functions"
DEADLINE_S = 20


@dataclass(frozen=True)
class Running:
    """A gateway with one Service.

    Attributes:
        port: The public port, where every path leads to the Service.
        inside: The Service's cluster port.
        revision: The Service's replicas.
        notes: The directory in which the function leaves notes and looks for them.
        logs: Where the replicas log.
    """

    port: int
    inside: int
    revision: Revision
    notes: Path
    logs: Path

    @property
    def url(self) -> str:
        """The public address."""
        return f"http://127.0.0.1:{self.port}"


def manifests(
    directory: Path,
    function: str = "echo",
    *,
    concurrency: int = 100,
    target: int | None = None,
    low: int = 0,
    high: int = 2,
    timeout: int = 60,
) -> Manifests:
    """One Service and a route to it."""
    names = {"name": function, "namespace": "test"}
    scale = {
        "autoscaling.knative.dev/min-scale": str(low),
        "autoscaling.knative.dev/max-scale": str(high),
    }
    if target:
        scale["autoscaling.knative.dev/target"] = str(target)
    container = {
        "image": f"audiolift-{function}",
        "env": [
            {"name": "NOTES", "value": str(directory)},
            {"name": "STARTS", "value": str(directory / "starts")},
            {"name": "SELF_URL", "value": f"http://{function}.test.svc.cluster.local/x"},
        ],
        "readinessProbe": {"httpGet": {"path": "/readyz"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "containerConcurrency": concurrency,
        "timeoutSeconds": timeout,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    service = {"spec": {"template": {"metadata": {"annotations": scale}, "spec": spec}}}
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": f"{function}.test.example.com"}}
    reference = {"name": "gateway", "namespace": "test"}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "filters": [rewrite],
        "backendRefs": [reference],
    }
    route = {"spec": {"parentRefs": [reference], "hostnames": ["example.com"], "rules": [rule]}}
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}},
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": names, **service},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": names, **route},
    ]
    path = directory / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return load([path])


@contextlib.asynccontextmanager
async def running(directory: Path, found: Manifests, *, window: float = 60) -> AsyncIterator[Running]:
    """The gateway, until the block ends; `window` may be shorter than Knative allows."""
    (service,) = found.of(Service)
    home = directory / "home"
    root = directory / "root"
    (root / ".local/venvs").mkdir(parents=True)
    (root / ".local/venvs" / service.container.function).symlink_to(sys.prefix)
    (root / "functions").symlink_to(FUNCTIONS)
    inside, port = free_port(), free_port()
    site = Site(root=root, home=home, services={service.name: inside})
    service = _with_window(service, window)
    revision = Revision(service, functools.partial(launch, service, manifests=found, site=site))
    gateway = Gateway({service.name: revision})
    target = Target(service.name, f"{service.name}.test.svc.cluster.local")
    listeners = [gateway.public(port, Router(found), lambda _: None), gateway.cluster_local(inside, target)]
    revision.open()
    for listener in listeners:
        listener.serve()
    try:
        yield Running(port, inside, revision, directory, home / "logs")
    finally:
        for listener in listeners:
            await listener.close()
        await revision.close()
        assert sweep(home) == 0
        assert not list(home.glob("scratch/*"))


def _with_window(service: Service, window: float) -> Service:
    scale = service.scale.model_copy(update={"window": window})
    metadata = service.spec.template.metadata.model_copy(update={"annotations": scale})
    template = service.spec.template.model_copy(update={"metadata": metadata})
    return service.model_copy(update={"spec": service.spec.model_copy(update={"template": template})})


async def until(condition: Callable[[], object]) -> None:
    """Waits for the condition, which must come to pass within 20 s."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)
