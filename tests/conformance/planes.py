"""The two data planes: `local`'s, and the programs of eventing-rabbitmq. Each is only told what to run, and how."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from local.eventing.spec import TriggerSpec
from local.eventing.topology import dead_letters_name, exchange_name, queue_name

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Command:
    """What to run, and with which variables besides PATH."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Plane(Protocol):
    """A data plane on the topology of `local.eventing.topology`.

    Attributes:
        name: `local` or `knative`.
    """

    name: str

    def ingress(self, amqp_url: str, broker: str, port: int) -> Command:
        """Takes events at this port."""

    def dispatchers(self, amqp_url: str, trigger: TriggerSpec, ingress_url: str) -> list[Command]:
        """All that delivers a Trigger's events and dead letters."""


class Local:
    """`python -m local.eventing`."""

    name = "local"

    def ingress(self, amqp_url: str, broker: str, port: int) -> Command:
        """One process."""
        return self._command("ingress", RABBITMQ_URL=amqp_url, BROKER=broker, PORT=str(port))

    def dispatchers(self, amqp_url: str, trigger: TriggerSpec, ingress_url: str) -> list[Command]:
        """One process for events and dead letters."""
        return [self._command("dispatcher", RABBITMQ_URL=amqp_url, TRIGGER=trigger.to_json(), INGRESS_URL=ingress_url)]

    def _command(self, module: str, **environment: str) -> Command:
        path = f"{ROOT}{os.pathsep}{ROOT / 'src'}"
        return Command((sys.executable, "-m", f"local.eventing.{module}"), {"PYTHONPATH": path, **environment})


class Knative:
    """The programs `ingress` and `dispatcher` of eventing-rabbitmq, with the variables that its controller sets.

    Args:
        directory: Where both are.
    """

    name = "knative"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def ingress(self, amqp_url: str, broker: str, port: int) -> Command:
        """One process (pkg/reconciler/broker/resources/ingress.go)."""
        exchange = exchange_name(broker)
        return self._command("ingress", BROKER_URL=amqp_url, EXCHANGE_NAME=exchange, BROKER_NAME=broker, PORT=str(port))

    def dispatchers(self, amqp_url: str, trigger: TriggerSpec, ingress_url: str) -> list[Command]:
        """One process for events and one for dead letters (pkg/reconciler/trigger/resources/dispatcher.go)."""
        both = {
            "RABBIT_URL": amqp_url,
            "BROKER_INGRESS_URL": ingress_url,
            "PARALLELISM": str(trigger.parallelism),
            "RETRY": str(trigger.retry),
            "BACKOFF_POLICY": trigger.backoff_policy,
            "BACKOFF_DELAY": f"{trigger.backoff_delay_s}s",
            "TIMEOUT": f"{trigger.timeout_s or 0}s",
        }
        events = {"QUEUE_NAME": queue_name(trigger), "SUBSCRIBER": trigger.subscriber_url}
        if not trigger.dead_letter_url:
            return [self._command("dispatcher", **both, **events)]
        dead_letters = dead_letters_name(trigger)
        return [
            self._command("dispatcher", **both, **events, DLX_NAME=dead_letters),
            self._command(
                "dispatcher", **both, QUEUE_NAME=dead_letters, SUBSCRIBER=trigger.dead_letter_url, DLX="true"
            ),
        ]

    def _command(self, program: str, **environment: str) -> Command:
        return Command((str(self._directory / program),), environment)


def planes() -> list[Plane]:
    """`local`, and the real programs where KNATIVE_RABBITMQ_BIN names their directory."""
    directory = os.environ.get("KNATIVE_RABBITMQ_BIN")
    return [Local(), *([Knative(Path(directory))] if directory else [])]
