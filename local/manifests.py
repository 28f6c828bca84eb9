"""Reads manifests and refuses what local would not run as a cluster does, with file, object, field and reason."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from local.kinds.common import ConfigMap, Namespace, Object, Secret
from local.kinds.eventing import Broker, PingSource, RabbitmqBrokerConfig, ServiceDestination, SinkBinding, Trigger
from local.kinds.routing import HttpRoute
from local.kinds.serving import EnvVar, Service

_KINDS: dict[str, type[Object]] = {
    "Namespace": Namespace,
    "ConfigMap": ConfigMap,
    "Secret": Secret,
    "Service": Service,
    "RabbitmqBrokerConfig": RabbitmqBrokerConfig,
    "Broker": Broker,
    "Trigger": Trigger,
    "SinkBinding": SinkBinding,
    "PingSource": PingSource,
    "HTTPRoute": HttpRoute,
}

#: The address of a Service inside of a cluster: its name and namespace.
CLUSTER_URL = re.compile(r"http://([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local(?=[/:?]|$)")

# What to say about a field that is missing or too many, where "required" and "unknown" would not tell why.
_REASONS = {
    "filters": "the RabbitMQ Broker does not filter by it; use filter.attributes with exact values",
    "delivery": "every Trigger needs its own, with a deadLetterSink: without it a failed event is lost",
    "deadLetterSink": "every Trigger needs its own: a Broker's is not used by a Trigger that has a delivery",
    "timeout": "is required: without it a subscriber that hangs holds the event for ever",
    "containerConcurrency": "is required: it tells when a replica is full and the next one starts",
    "autoscaling.knative.dev/max-scale": "is required: one machine cannot scale without a bound",
    "readinessProbe": "is required: it tells when a replica takes requests",
}


class ManifestError(Exception):
    """One line for each thing that is wrong: file, kind and name, field, reason."""


O = TypeVar("O", bound=Object)  # noqa: E741  # the usual name of a type variable for an object


@dataclass(frozen=True)
class Found:
    """An object and the file that it stands in."""

    file: str
    object: Object

    def wrong(self, path: str, reason: str) -> str:
        """One line of a `ManifestError`."""
        return f"{self.file}: {self.object.kind} {self.object.name}: {path}: {reason}"


@dataclass(frozen=True)
class Manifests:
    """All objects of the one namespace."""

    found: tuple[Found, ...]
    namespace: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "namespace", next((space.name for space in self.of(Namespace)), ""))

    def of(self, kind: type[O]) -> list[O]:
        """The objects of a kind, in the order they were read."""
        return [found.object for found in self.found if isinstance(found.object, kind)]

    def get(self, kind: type[O], name: str) -> O | None:
        """The object of that name."""
        return next((thing for thing in self.of(kind) if thing.name == name), None)

    def value(self, variable: EnvVar) -> str | None:
        """A variable's value as written or referred to; None where an optional key does not exist."""
        if not variable.value_from:
            return variable.value
        if reference := variable.value_from.secret_key_ref:
            secret = self.get(Secret, reference.name)
            return secret.string_data.get(reference.key) if secret else None
        if reference := variable.value_from.config_map_key_ref:
            config_map = self.get(ConfigMap, reference.name)
            return config_map.data.get(reference.key) if config_map else None
        return None


def load(paths: Iterable[Path]) -> Manifests:
    """Reads the files' objects.

    Raises:
        ManifestError: Lists everything that local does not support or that leads nowhere.
        OSError: A file cannot be read.
    """
    found: list[Found] = []
    wrong: list[str] = []
    for path in paths:
        for parsed in _read(path):
            if isinstance(parsed, Found):
                found.append(parsed)
            else:
                wrong += parsed
    # References are looked at once everything can be read: a Service with a typing error would seem to be missing.
    if not wrong:
        wrong = list(_dangling(Manifests(tuple(found))))
    if wrong:
        raise ManifestError("\n".join(wrong))
    return Manifests(tuple(found))


def _read(path: Path) -> Iterator[Found | list[str]]:
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except yaml.YAMLError as error:
        yield [f"{path}: is not YAML: {error}"]
        return
    for number, document in enumerate(documents, start=1):
        if document is not None:
            yield _parse(str(path), number, document)


def _parse(file: str, number: int, document: Any) -> Found | list[str]:
    if not isinstance(document, dict) or document.get("kind") not in tuple(_KINDS):
        kind = document.get("kind") if isinstance(document, dict) else document
        return [f"{file}: document {number}: kind: local does not know {kind!r}, only {', '.join(_KINDS)}"]
    metadata = document.get("metadata")
    name = metadata.get("name", number) if isinstance(metadata, dict) else number
    try:
        # Through JSON, whose types are the cluster's: a list, no tuple; a number only where a number is due.
        return Found(file, _KINDS[document["kind"]].model_validate_json(json.dumps(document, default=str)))
    except ValidationError as errors:
        return [
            f"{file}: {document['kind']} {name}: {_path(error['loc'])}: {_reason(error)}" for error in errors.errors()
        ]


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location if part != "[key]")
    return path.removeprefix(".")


def _reason(error: Any) -> str:
    if error["type"] in ("missing", "extra_forbidden"):
        unknown = "is required" if error["type"] == "missing" else "local does not know this field"
        return _REASONS.get(str(error["loc"][-1]), unknown)
    return str(error["msg"]).removeprefix("Value error, ")


def _dangling(manifests: Manifests) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for found in manifests.found:
        thing = found.object
        if (thing.kind, thing.name) in seen:
            yield found.wrong("metadata.name", "there are two of this kind with this name")
        elif isinstance(thing, HttpRoute) and "HTTPRoute" in (kind for kind, _ in seen):
            yield found.wrong("spec.hostnames", "local has one HTTPRoute, for all hostnames, and there is another")
        seen.add((thing.kind, thing.name))
        yield from (found.wrong(path, reason) for path, reason in _unmet(manifests, thing))


def _unmet(manifests: Manifests, thing: Object) -> Iterator[tuple[str, str]]:
    if not isinstance(thing, Namespace) and thing.metadata.namespace != manifests.namespace:
        yield "metadata.namespace", f"must be {manifests.namespace!r}, the one Namespace that local has"
    if isinstance(thing, Service):
        yield from _unmet_variables(manifests, thing)
    if isinstance(thing, Broker) and not manifests.get(RabbitmqBrokerConfig, thing.spec.config.name):
        yield "spec.config", f"there is no RabbitmqBrokerConfig {thing.spec.config.name}"
    if isinstance(thing, Trigger):
        if not manifests.get(Broker, thing.spec.broker):
            yield "spec.broker", f"there is no Broker {thing.spec.broker}"
        yield from _unmet_service(manifests, "spec.subscriber.ref", thing.spec.subscriber)
        yield from _unmet_service(manifests, "spec.delivery.deadLetterSink.ref", thing.spec.delivery.dead_letter_sink)
    if isinstance(thing, SinkBinding):
        if not manifests.get(Service, thing.spec.subject.name):
            yield "spec.subject", f"there is no Service {thing.spec.subject.name}"
        if not manifests.get(Broker, thing.spec.sink.ref.name):
            yield "spec.sink.ref", f"there is no Broker {thing.spec.sink.ref.name}"
    if isinstance(thing, PingSource):
        yield from _unmet_service(manifests, "spec.sink.ref", thing.spec.sink)
    if isinstance(thing, HttpRoute):
        yield from _unmet_hosts(manifests, thing)


def _unmet_service(manifests: Manifests, path: str, to: ServiceDestination) -> Iterator[tuple[str, str]]:
    if not manifests.get(Service, to.ref.name):
        yield path, f"there is no Service {to.ref.name}"


def _unmet_variables(manifests: Manifests, service: Service) -> Iterator[tuple[str, str]]:
    for index, variable in enumerate(service.container.env):
        path = f"spec.template.spec.containers[0].env[{index}] ({variable.name})"
        source = variable.value_from
        reference = (source.secret_key_ref or source.config_map_key_ref) if source else None
        if reference and not reference.optional and manifests.value(variable) is None:
            kind = "Secret" if source and source.secret_key_ref else "ConfigMap"
            yield path, f"there is no key {reference.key} in a {kind} {reference.name}"
        for name, space in CLUSTER_URL.findall(manifests.value(variable) or ""):
            if not manifests.get(Service, name) or space != manifests.namespace:
                yield path, f"there is no Service {name} in the namespace {space}"


def _unmet_hosts(manifests: Manifests, route: HttpRoute) -> Iterator[tuple[str, str]]:
    for index, rule in enumerate(route.spec.rules):
        name, space, _ = (*rule.hostname.split(".", 2), "", "")[:3]
        service = manifests.get(Service, name)
        path = f"spec.rules[{index}].filters[0].urlRewrite.hostname"
        if not service or space != manifests.namespace:
            yield path, f"{rule.hostname} is not the name of a Service, <name>.{manifests.namespace}.<domain>"
        elif service.cluster_local:
            yield path, f"Service {name} is cluster-local and has no public name"
