"""Finds the Service that a request on the public port is meant for, by its Host or else by its path."""

from dataclasses import dataclass

from local.http import Head
from local.kinds.routing import HttpRoute, PathMatch, Rule
from local.kinds.serving import Service
from local.manifests import Manifests

_LOCAL_DOMAIN = "localhost"


@dataclass(frozen=True)
class Target:
    """Where a request goes.

    Attributes:
        service: The Service's name.
        host: The Host that the request carries there.
        seconds: How long it may take, waiting for a replica included; None for as long as the Service allows.
    """

    service: str
    host: str
    seconds: float | None = None


class Router:
    """`NAME.localhost` and the public name of a Service lead to it, any other Host goes by the paths of the HTTPRoute.

    A cluster-local Service has no such name.
    """

    def __init__(self, manifests: Manifests) -> None:
        rules = [rule for route in manifests.of(HttpRoute) for rule in route.spec.rules]
        by_path = [(match.path, _target(rule)) for rule in rules for match in rule.matches]
        self._paths = sorted(by_path, key=lambda entry: _precedence(entry[0]))
        self._hosts = {rule.hostname: Target(_target(rule).service, rule.hostname) for rule in rules}
        public = {target.service: target for target in self._hosts.values()}
        for service in manifests.of(Service):
            if not service.cluster_local:
                name = f"{service.name}.{_LOCAL_DOMAIN}"
                self._hosts[name] = public.get(service.name, Target(service.name, name))

    def by_host(self, head: Head) -> Target | None:
        """The Service that the Host names."""
        return self._hosts.get((head.get("host") or "").split(":", 1)[0].lower())

    def by_path(self, head: Head) -> Target | None:
        """The Service that the path belongs to: of the rules that match, an exact one or else the longest prefix."""
        path = head.start[1].split("?", 1)[0]
        return next((target for match, target in self._paths if match.matches(path)), None)


def _target(rule: Rule) -> Target:
    return Target(rule.hostname.split(".", 1)[0], rule.hostname, rule.timeouts.request if rule.timeouts else None)


def _precedence(match: PathMatch) -> tuple[bool, int]:
    return match.type != "Exact", -len(match.value)
