"""`python -m tests.faults.platform` is `make run` with a line that can be made bad between any two parts.

LINES is a JSON object of each line's name and port (see `tests.faults.world`). Segments and leases are small, and the
broker waits for less than a second at first, so that what takes minutes on a cluster takes seconds.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from local import foreground, replica, servers, wiring
from local.eventing.spec import TriggerSpec
from local.kinds.serving import Service
from local.manifests import Manifests
from local.processes import Program
from local.replica import Site

#: The first of the waits that double, in seconds: 51 s for the seven of convert, in the place of 254 s.
BACKOFF_S = 0.2
SETTINGS = {"convert": {"SEGMENT_FROM_S": "20", "SEGMENT_S": "10", "TAKE_S": "1", "LEASE_S": "3"}}

#: By the setting that holds its address: the part that a function calls, and how the address of a port is written.
PARTS: dict[str, tuple[str, Callable[[int], str]]] = {
    "MONGODB_URI": ("mongod", servers.mongodb_uri),
    "MYSQL_URL": ("mariadb", servers.mysql_url),
    "SMTP_URL": ("smtp", servers.smtp_url),
    "K_SINK": ("ingress", "http://127.0.0.1:{}/".format),
    "JWKS_URL": ("auth", "http://127.0.0.1:{}/.well-known/jwks.json".format),
}

_LINES: dict[str, int] = json.loads(os.environ.get("LINES", "{}"))
_ENVIRONMENT = replica.environment
_PROGRAMS = wiring.eventing_programs


def environment(service: Service, port: int, scratch: Path, *, manifests: Manifests, site: Site) -> dict[str, str]:
    """As `replica.environment`, with all addresses those of lines."""
    found = _ENVIRONMENT(service, port, scratch, manifests=manifests, site=site)
    name = service.name
    led = {key: address(_LINES[f"{name}-{part}"]) for key, (part, address) in PARTS.items() if key in found}
    return found | led | SETTINGS.get(name, {})


def eventing_programs(
    manifests: Manifests, ports: Mapping[str, int], *, root: Path, home: Path, rabbitmq_url: str
) -> Iterator[Program]:
    """As `wiring.eventing_programs`, with all addresses those of lines."""
    for program in _PROGRAMS(manifests, ports, root=root, home=home, rabbitmq_url=rabbitmq_url):
        changed = dict(program.environment)
        part = "ingress" if "BROKER" in changed else "dispatchers"
        if "RABBITMQ_URL" in changed:
            changed["RABBITMQ_URL"] = servers.rabbitmq_url(_LINES[f"{part}-rabbitmq"])
        if "TRIGGER" in changed:
            changed["TRIGGER"] = _led(TriggerSpec.from_json(changed["TRIGGER"]), ports).to_json()
        yield replace(program, environment=changed)


def _led(trigger: TriggerSpec, ports: Mapping[str, int]) -> TriggerSpec:
    def line(url: str) -> str:
        for name in ("upload", "convert", "notify"):
            url = url.replace(f":{ports[f'service-{name}']}/", f":{_LINES[f'dispatchers-{name}']}/")
        return url

    assert trigger.dead_letter_url
    return replace(
        trigger,
        subscriber_url=line(trigger.subscriber_url),
        dead_letter_url=line(trigger.dead_letter_url),
        backoff_delay_s=BACKOFF_S,
    )


if __name__ == "__main__":
    replica.environment = environment
    wiring.eventing_programs = eventing_programs
    sys.exit(foreground.run())
