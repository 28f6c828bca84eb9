"""A Broker on each data plane."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.eventing import topology
from local.eventing.spec import TriggerSpec
from local.ports import free_port
from tests.conformance.planes import Plane, planes
from tests.eventing import Running, Subscriber, run, send
from tests.waiting import until

# Its platform runs the real programs only: that of local's own is tested in tests/e2e.
collect_ignore = [] if len(planes()) > 1 else ["test_pipeline.py"]


@dataclass(frozen=True)
class Dispatcher:
    """The processes that deliver for one Trigger."""

    processes: tuple[Running, ...]

    def kill(self) -> None:
        """SIGKILL, and waits."""
        for process in self.processes:
            process.popen.kill()
        for process in self.processes:
            process.popen.wait()


@dataclass(frozen=True)
class Broker:
    """A Broker with a running ingress.

    Attributes:
        plane: What runs it.
        amqp_url: Where its exchange and queues are.
        name: Its name.
        url: The address of its ingress.
    """

    plane: Plane
    amqp_url: str
    name: str
    url: str

    def trigger(self, *subscribers: Subscriber, **values: Any) -> TriggerSpec:
        """The one Trigger of the Broker from now on, with its queues; subscriber and dead letter sink may be given."""
        urls = dict(zip(("subscriber_url", "dead_letter_url"), (peer.url for peer in subscribers), strict=False))
        spec = TriggerSpec(name=f"t-{uuid4().hex}", broker=self.name, **{**urls, **values})
        self.declare(spec)
        return spec

    def declare(self, *triggers: TriggerSpec) -> None:
        """These are the Broker's Triggers from now on."""
        topology.declare(self.amqp_url, self.name, triggers)

    @contextlib.contextmanager
    def dispatching(self, trigger: TriggerSpec, ingress_url: str = "") -> Iterator[Dispatcher]:
        """Delivers the Trigger's events until the block ends."""
        commands = self.plane.dispatchers(self.amqp_url, trigger, ingress_url or self.url)
        with contextlib.ExitStack() as stack:
            yield Dispatcher(
                tuple(stack.enter_context(run(command.arguments, command.environment)) for command in commands)
            )

    def send(self, event_id: str, body: bytes = b"{}", **headers: str) -> httpx.Response:
        """As `tests.eventing.send`, to this Broker."""
        return send(self.url, event_id, body, **headers)

    def waiting(self, trigger: TriggerSpec) -> int:
        """Events in the Trigger's queues that no dispatcher holds."""
        return sum(topology.depths(self.amqp_url, [trigger]).values())


@contextlib.contextmanager
def running_broker(plane: Plane, amqp_url: str) -> Iterator[Broker]:
    """A Broker without Triggers, once its ingress takes events."""
    name, port = f"conformance-{uuid4().hex}", free_port()
    topology.declare(amqp_url, name, [])
    command = plane.ingress(amqp_url, name, port)
    with run(command.arguments, command.environment) as ingress:
        broker = Broker(plane, amqp_url, name, f"http://127.0.0.1:{port}/")
        until(lambda: accepts(broker) or not ingress.alive)
        assert ingress.alive
        yield broker


def accepts(broker: Broker) -> bool:
    """Whether its ingress listens and reaches RabbitMQ."""
    try:
        return broker.send("probe", ce_type="probe").status_code == 202
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session", params=planes(), ids=lambda plane: plane.name)
def plane(request: pytest.FixtureRequest) -> Plane:
    """What the scenario is run on."""
    given: Plane = request.param
    return given


@pytest.fixture(scope="session")
def broker(plane: Plane, rabbitmq: str) -> Iterator[Broker]:
    """A Broker on the RabbitMQ that other tests use too."""
    with running_broker(plane, rabbitmq) as running:
        yield running
