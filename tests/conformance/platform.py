"""`python -m tests.conformance.platform` is `make run` with the ingress and dispatchers of eventing-rabbitmq.

Their directory is KNATIVE_RABBITMQ_BIN. All else, servers, queues, functions and gateway, is the platform's own.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from local import foreground, wiring
from local.kinds.eventing import Broker
from local.manifests import Manifests
from local.processes import Program
from local.servers import listens
from tests.conformance.planes import Command, Knative

_ORIGINAL = wiring.eventing_programs


def knative_programs(
    manifests: Manifests, ports: Mapping[str, int], *, root: Path, home: Path, rabbitmq_url: str
) -> Iterator[Program]:
    """As `wiring.eventing_programs`, which still makes the PingSources."""
    plane = Knative(Path(os.environ["KNATIVE_RABBITMQ_BIN"]))

    def program(name: str, command: Command, ready_port: int | None = None) -> Program:
        ready = {"ready": listens(ready_port)} if ready_port else {}
        directory, environment = home / "eventing", command.environment
        return Program(name=name, command=command.arguments, directory=directory, environment=environment, **ready)

    for broker in manifests.of(Broker):
        port = ports[f"broker-{broker.name}"]
        yield program(f"knative-ingress-{broker.name}", plane.ingress(rabbitmq_url, broker.name, port), port)
    for trigger in wiring.trigger_specs(manifests, ports):
        ingress_url = f"http://127.0.0.1:{ports[f'broker-{trigger.broker}']}/"
        for number, command in enumerate(plane.dispatchers(rabbitmq_url, trigger, ingress_url)):
            yield program(f"knative-{trigger.name}-{number}", command)
    for own in _ORIGINAL(manifests, ports, root=root, home=home, rabbitmq_url=rabbitmq_url):
        if own.name.startswith("ping-"):
            yield own


if __name__ == "__main__":
    wiring.eventing_programs = knative_programs
    sys.exit(foreground.run())
