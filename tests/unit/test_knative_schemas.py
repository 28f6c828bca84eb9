"""Every object of knative/, with every overlay, is what its kind's schema says, with no field that the schema lacks.

Core kinds: the Kubernetes schemas of kubernetes-validate. Knative's: the models of cloudcoil, made from Knative's CRDs.
The rest: schemas of our own (tests/crds.py).
"""

import copy
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests import crds
from tests.manifests import OVERLAYS, Document, build

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package's own: a field that shadows an attribute
    from cloudcoil.models.knative_eventing.eventing import v1 as eventing
    from cloudcoil.models.knative_eventing.sources import v1 as sources
    from cloudcoil.models.knative_serving.serving import v1 as serving

KUBERNETES = "1.33"  # the oldest that the current Knative supports; newer ones only add fields
CORE = {
    ("v1", "Namespace"),
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("apps/v1", "StatefulSet"),
    ("batch/v1", "Job"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
}
MODELS: dict[tuple[str, str], Any] = {
    ("serving.knative.dev/v1", "Service"): serving.Service,
    ("eventing.knative.dev/v1", "Broker"): eventing.Broker,
    ("eventing.knative.dev/v1", "Trigger"): eventing.Trigger,
    ("sources.knative.dev/v1", "SinkBinding"): sources.SinkBinding,
    ("sources.knative.dev/v1", "PingSource"): sources.PingSource,
}
OURS = {
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): crds.RABBITMQ_CLUSTER,
    ("eventing.knative.dev/v1alpha1", "RabbitmqBrokerConfig"): crds.RABBITMQ_BROKER_CONFIG,
    ("gateway.networking.k8s.io/v1", "Gateway"): crds.GATEWAY,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): crds.HTTP_ROUTE,
    ("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"): crds.REFERENCE_GRANT,
    ("monitoring.coreos.com/v1", "PodMonitor"): crds.POD_MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): crds.PROMETHEUS_RULE,
}
BUILDS = [(), *((folder.name,) for folder in sorted(OVERLAYS.iterdir()))]


def _close(schema: Any) -> Any:
    """The schema with every object closed: the models let unknown fields pass."""
    if isinstance(schema, list):
        return [_close(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _close(value) for key, value in schema.items()}
    if "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@functools.cache
def _of_model(kind: tuple[str, str]) -> dict[str, Any]:
    schema: dict[str, Any] = _close(MODELS[kind].model_json_schema(by_alias=True))
    if kind[1] == "Trigger":
        # The CRD leaves `delivery` open for it (feature delivery-timeout, on by default), which the model forgets.
        schema["$defs"]["DeliveryModel"]["properties"]["timeout"] = {"type": "string"}
    return schema


def _wrong(one: Document) -> Iterator[str]:
    kind = (one["apiVersion"], one["kind"])
    if kind in CORE:
        try:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{list(error.path)}: {error.message}"
        return
    assert kind in MODELS or kind in OURS, f"nothing checks {kind}"
    schema = _of_model(kind) if kind in MODELS else OURS[kind]
    yield from (
        f"{list(error.path)}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(one)
    )


@pytest.mark.parametrize("components", BUILDS, ids=lambda components: "+".join(components) or "base")
def test_every_object_is_as_its_schema_says(components: tuple[str, ...]) -> None:
    objects = build(*components)
    assert len(objects) > 20
    for one in objects:
        assert list(_wrong(one)) == [], (one["kind"], one["metadata"]["name"])


def _object(kind: str, name: str) -> Document:
    return copy.deepcopy(
        next(one for one in build("production") if (one["kind"], one["metadata"]["name"]) == (kind, name))
    )


_BREAK: list[tuple[str, str, Callable[[Document], Any]]] = [
    ("StatefulSet", "mysql", lambda o: o["spec"].update(replica=1)),
    ("StatefulSet", "mongodb", lambda o: o["spec"].pop("selector")),
    ("NetworkPolicy", "dns", lambda o: o["spec"]["egress"][0].update(port=53)),
    ("Job", "prepare-mongodb", lambda o: o["spec"].update(backoffLimit="12")),
    ("PodDisruptionBudget", "auth", lambda o: o["spec"].update(minAvaliable=1)),
    ("Service", "upload", lambda o: o["spec"]["template"]["spec"].update(containerConcurency=1)),
    ("Service", "upload", lambda o: o["spec"]["template"]["spec"]["containers"][0].update(imagePull="Always")),
    ("Trigger", "convert", lambda o: o["spec"]["delivery"].update(retries=1)),
    ("Trigger", "convert", lambda o: o["spec"]["delivery"].update(backoffDelay=1)),
    ("SinkBinding", "upload", lambda o: o["spec"].update(sinks={})),
    ("PingSource", "sweep", lambda o: o["spec"].update(cron="* * * * *")),
    ("Broker", "default", lambda o: o["spec"].update(configuration={})),
    ("RabbitmqCluster", "rabbitmq", lambda o: o["spec"].update(replicas="3")),
    ("RabbitmqBrokerConfig", "default", lambda o: o["spec"]["rabbitmqClusterReference"].update(connectionSecret={})),
    ("Gateway", "audiolift", lambda o: o["spec"].pop("gatewayClassName")),
    ("HTTPRoute", "audiolift", lambda o: o["spec"]["rules"][0]["timeouts"].update(request="30")),
    ("ReferenceGrant", "audiolift", lambda o: o["spec"]["to"][0].pop("group")),
]


@pytest.mark.parametrize(("kind", "name", "harm"), _BREAK)
def test_what_is_wrong_is_found(kind: str, name: str, harm: Callable[[Document], Any]) -> None:
    one = _object(kind, name)
    harm(one)
    assert list(_wrong(one)) != []
