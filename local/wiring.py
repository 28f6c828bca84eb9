"""What the manifests mean on this machine: which port stands for which address, and which processes carry events."""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from local.eventing.spec import TriggerSpec
from local.kinds.eventing import Broker, PingSource, ServiceDestination, SinkBinding, Trigger
from local.kinds.serving import Service
from local.manifests import Manifests
from local.processes import Program
from local.routing import Target
from local.servers import listens


def service_ports(manifests: Manifests, ports: Mapping[str, int]) -> dict[str, int]:
    """The loopback port of each Service, out of those of `port_names`."""
    return {service.name: ports[f"service-{service.name}"] for service in manifests.of(Service)}


def port_names(manifests: Manifests) -> list[str]:
    """What needs a port: each Service's cluster address and each Broker's ingress."""
    services = [f"service-{service.name}" for service in manifests.of(Service)]
    return services + [f"broker-{broker.name}" for broker in manifests.of(Broker)]


def cluster_target(manifests: Manifests, service: Service) -> Target:
    """A Service as it is called from inside of the cluster."""
    return Target(service.name, f"{service.name}.{manifests.namespace}.svc.cluster.local")


def sinks(manifests: Manifests, ports: Mapping[str, int]) -> dict[str, str]:
    """K_SINK of each Service that a SinkBinding names."""
    return {
        binding.spec.subject.name: _ingress_url(binding.spec.sink.ref.name, ports)
        for binding in manifests.of(SinkBinding)
    }


def trigger_specs(manifests: Manifests, ports: Mapping[str, int]) -> list[TriggerSpec]:
    """The Triggers with their addresses on this machine."""
    return [_trigger_spec(trigger, manifests, ports) for trigger in manifests.of(Trigger)]


def eventing_programs(
    manifests: Manifests, ports: Mapping[str, int], *, root: Path, home: Path, rabbitmq_url: str
) -> Iterator[Program]:
    """The ingress of each Broker, the dispatcher of each Trigger, and each PingSource."""

    def program(module: str, name: str, ready_port: int | None = None, **environment: str) -> Program:
        path = f"{root}:{root / 'src'}"
        ready = {"ready": listens(ready_port)} if ready_port else {}
        return Program(
            name=name,
            command=(sys.executable, "-m", f"local.eventing.{module}"),
            directory=home / "eventing",
            environment={"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **environment},
            **ready,
        )

    for broker in manifests.of(Broker):
        port = ports[f"broker-{broker.name}"]
        name = "ingress" if broker.name == "default" else f"ingress-{broker.name}"
        yield program("ingress", name, port, RABBITMQ_URL=rabbitmq_url, BROKER=broker.name, PORT=str(port))
    for trigger in trigger_specs(manifests, ports):
        yield program(
            "dispatcher",
            f"trigger-{trigger.name}",
            RABBITMQ_URL=rabbitmq_url,
            TRIGGER=trigger.to_json(),
            INGRESS_URL=_ingress_url(trigger.broker, ports),
        )
    for ping in manifests.of(PingSource):
        yield program(
            "pingsource",
            f"ping-{ping.name}",
            SCHEDULE=ping.spec.schedule,
            SINK_URL=_service_url(ping.spec.sink, ports),
            DATA=ping.spec.data,
            CONTENT_TYPE=ping.spec.content_type,
            SOURCE=f"/apis/v1/namespaces/{manifests.namespace}/pingsources/{ping.name}",
        )


def _trigger_spec(trigger: Trigger, manifests: Manifests, ports: Mapping[str, int]) -> TriggerSpec:
    delivery = trigger.spec.delivery
    return TriggerSpec(
        name=trigger.name,
        broker=trigger.spec.broker,
        attributes=trigger.spec.filter.attributes,
        subscriber_url=_service_url(trigger.spec.subscriber, ports),
        dead_letter_url=_service_url(delivery.dead_letter_sink, ports),
        parallelism=min(trigger.metadata.annotations.parallelism, _room(trigger, manifests)),
        retry=delivery.retry,
        backoff_policy=delivery.backoff_policy,
        backoff_delay_s=delivery.backoff_delay,
        timeout_s=delivery.timeout,
    )


def _room(trigger: Trigger, manifests: Manifests) -> int:
    """How many events may be delivered at once: where each has a process to itself, as many as there are cores."""
    service = manifests.get(Service, trigger.spec.subscriber.ref.name)
    alone = service is not None and service.revision.container_concurrency == 1
    return len(os.sched_getaffinity(0)) if alone else trigger.metadata.annotations.parallelism


def _service_url(to: ServiceDestination, ports: Mapping[str, int]) -> str:
    return f"http://127.0.0.1:{ports[f'service-{to.ref.name}']}{to.uri}"


def _ingress_url(broker: str, ports: Mapping[str, int]) -> str:
    return f"http://127.0.0.1:{ports[f'broker-{broker}']}/"
