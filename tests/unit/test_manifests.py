"""Manifests are read as they are meant for a cluster, and whatever local would run otherwise is refused in words."""

import copy
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.kinds.common import go_seconds, iso_seconds
from local.kinds.eventing import PingSource, SinkBinding, Trigger
from local.kinds.routing import PathMatch
from local.kinds.serving import Service
from local.manifests import ManifestError, load
from local.wiring import trigger_specs

_KNATIVE = Path(__file__).parents[2] / "knative"
_NAMES = ["namespace.yaml", "broker.yaml", "auth.yaml", "convert.yaml", "notify.yaml", "upload.yaml", "route.yaml"]
_SITE: list[dict[str, Any]] = [
    {"kind": "Secret", "name": "audiolift-mysql", "stringData": {"url": "mysql://root@127.0.0.1:1/auth"}},
    {"kind": "Secret", "name": "audiolift-mongodb", "stringData": {"uri": "mongodb://127.0.0.1:1"}},
    {"kind": "Secret", "name": "audiolift-tokens", "stringData": {"keys": "{}"}},
    {"kind": "Secret", "name": "audiolift-links", "stringData": {"keys": "k1=00"}},
    {"kind": "Secret", "name": "audiolift-mail", "stringData": {"smtp-url": "smtp://127.0.0.1:1"}},
    {
        "kind": "ConfigMap",
        "name": "audiolift-site",
        "data": {"public-url": "http://localhost:1", "mail-from": "a@example.com", "mail-transport": "smtp"},
    },
]
_Objects = dict[tuple[str, str], dict[str, Any]]


def _objects() -> _Objects:
    documents: list[dict[str, Any]] = []
    for name in _NAMES:
        documents += yaml.safe_load_all((_KNATIVE / name).read_text())
    for site in copy.deepcopy(_SITE):
        documents.append({"apiVersion": "v1", "metadata": {"name": site.pop("name"), "namespace": "audiolift"}, **site})
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def _write(path: Path, objects: _Objects) -> Path:
    path.write_text(yaml.safe_dump_all(list(objects.values())))
    return path


def test_the_repository_s_manifests_are_accepted(tmp_path: Path) -> None:
    manifests = load([_write(tmp_path / "all.yaml", _objects())])
    convert = manifests.get(Service, "convert")
    assert convert and convert.cluster_local and convert.container.function == "convert"
    assert (convert.scale.min_scale, convert.scale.max_scale, convert.scale.window) == (0, 12, 60)
    assert (convert.revision.container_concurrency, convert.revision.start_timeout_seconds) == (1, 600)
    trigger = manifests.get(Trigger, "convert")
    assert trigger and trigger.spec.delivery.backoff_delay == 1 and trigger.spec.delivery.timeout == 600
    assert trigger.metadata.annotations.parallelism == 2
    assert {binding.spec.subject.name for binding in manifests.of(SinkBinding)} == {
        "auth",
        "upload",
        "convert",
        "notify",
    }
    assert {ping.name: ping.spec.sink.uri for ping in manifests.of(PingSource)} == {
        "sweep": "/sweep",
        "sweep-auth": "/sweep",
    }
    notify = manifests.get(Service, "notify")
    assert notify
    values = {variable.name: manifests.value(variable) for variable in notify.container.env}
    assert values["PUBLIC_URL"] == "http://localhost:1"
    assert values["SENDGRID_API_KEY"] is None


def test_who_takes_one_event_at_a_time_gets_no_more_at_once_than_there_are_cores(tmp_path: Path) -> None:
    manifests = load([_write(tmp_path / "all.yaml", _objects())])
    specs = {spec.name: spec for spec in trigger_specs(manifests, defaultdict(int))}
    assert specs["segment"].parallelism == min(8, len(os.sched_getaffinity(0)))
    assert specs["notify-webhook-due"].parallelism == 12


def _spec(objects: _Objects) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Service", "upload"]["spec"]["template"]["spec"]
    return spec


def _container(objects: _Objects) -> dict[str, Any]:
    container: dict[str, Any] = _spec(objects)["containers"][0]
    return container


def _annotations(objects: _Objects) -> dict[str, Any]:
    annotations: dict[str, Any] = objects["Service", "upload"]["spec"]["template"]["metadata"]["annotations"]
    return annotations


def _trigger(objects: _Objects) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Trigger", "convert"]["spec"]
    return spec


def _env(objects: _Objects, **variable: Any) -> None:
    _container(objects)["env"].insert(0, variable)


def _rule(objects: _Objects, hostname: str) -> None:
    objects["HTTPRoute", "audiolift"]["spec"]["rules"][1]["filters"][0]["urlRewrite"]["hostname"] = hostname


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": "audiolift"}


_SCALE = "spec.template.metadata.annotations.autoscaling.knative.dev/"
_REVISION = "spec.template.spec"
_FIRST = "spec.template.spec.containers[0]"

_REFUSED: list[tuple[Callable[[_Objects], Any], str]] = [
    (lambda o: o.update({("x", "y"): {"kind": "Deployment"}}), "local does not know 'Deployment'"),
    (lambda o: o.update({("x", "y"): {"kind": ["Secret"]}}), "local does not know ['Secret']"),
    (lambda o: o["Broker", "default"].update(apiVersion="v1"), "Broker default: apiVersion: Input should be"),
    (lambda o: _container(o).update(command=["x"]), f"Service upload: {_FIRST}.command: local does not know this"),
    (lambda o: _container(o).update(image="nginx"), f"{_FIRST}.image: String should match"),
    (lambda o: _container(o).pop("readinessProbe"), f"{_FIRST}.readinessProbe: is required: it tells"),
    (lambda o: _container(o)["volumeMounts"][0].update(mountPath="/data"), f"{_FIRST}.volumeMounts[0].mountPath: "),
    (lambda o: _container(o)["volumeMounts"][0].update(name="x"), f"{_REVISION}: there is no volume 'x'"),
    (lambda o: _spec(o)["volumes"][0].update(persistentVolumeClaim={}), f"{_REVISION}.volumes[0].persistentVolumeCl"),
    (lambda o: _spec(o).update(containerConcurrency=0), f"{_REVISION}.containerConcurrency: Input should be greater"),
    (lambda o: _spec(o).update(containerConcurrency="8"), f"{_REVISION}.containerConcurrency: Input should be a valid"),
    (lambda o: _spec(o).pop("containerConcurrency"), f"{_REVISION}.containerConcurrency: is required: it tells"),
    (lambda o: _spec(o).update(timeoutSeconds=601), f"{_REVISION}.timeoutSeconds: Input should be less"),
    (lambda o: _spec(o).update(timeoutSeconds=599), f"{_REVISION}: responseStartTimeoutSeconds is more"),
    (lambda o: _spec(o)["containers"].append(_container(o)), f"{_REVISION}.containers: Tuple should have at most 1"),
    (lambda o: _annotations(o).pop("autoscaling.knative.dev/max-scale"), f"{_SCALE}max-scale: is required"),
    (lambda o: _annotations(o).update({"autoscaling.knative.dev/max-scale": 3}), f"{_SCALE}max-scale: an annotation"),
    (lambda o: _annotations(o).update({"autoscaling.knative.dev/min-scale": "99"}), "min-scale is more than max-scale"),
    (lambda o: _annotations(o).update({"autoscaling.knative.dev/window": "1s"}), f"{_SCALE}window: Input should be"),
    (lambda o: _annotations(o).update({"autoscaling.knative.dev/window": "60"}), f"{_SCALE}window: is not a duration"),
    (lambda o: _annotations(o).update({"autoscaling.knative.dev/metric": "rps"}), f"{_SCALE}metric: local does not"),
    (
        lambda o: o["Service", "auth"]["metadata"].update(labels={"networking.knative.dev/visibilty": "cluster-local"}),
        "Service auth: metadata.labels: networking.knative.dev/visibilty: local does not know this label",
    ),
    (lambda o: _env(o, name="PORT", value="1"), f"{_FIRST}.env[0]: PORT is set by Knative"),
    (lambda o: _env(o, name="A"), f"{_FIRST}.env[0]: needs either value or valueFrom"),
    (lambda o: _env(o, name="A", value="$(B)"), f"{_FIRST}.env[0]: local does not put one variable"),
    (
        lambda o: _env(o, name="A", value="http://no.audiolift.svc.cluster.local/x"),
        "env[0] (A): there is no Service no",
    ),
    (lambda o: _env(o, name="MONGODB_URI", value=""), f"{_FIRST}.env: MONGODB_URI is set twice"),
    (lambda o: o.pop(("Secret", "audiolift-mongodb")), "env[0] (MONGODB_URI): there is no key uri in a Secret audio"),
    (lambda o: o["ConfigMap", "audiolift-site"]["data"].pop("mail-from"), "there is no key mail-from in a ConfigMap"),
    (lambda o: o.pop(("RabbitmqBrokerConfig", "default")), "Broker default: spec.config: there is no Rabbitmq"),
    (lambda o: o["Broker", "default"]["spec"].update(delivery={}), "Broker default: spec.delivery: every Trigger"),
    (lambda o: _trigger(o).update(broker="other"), "Trigger convert: spec.broker: there is no Broker other"),
    (lambda o: _trigger(o).update(filters=[]), "Trigger convert: spec.filters: the RabbitMQ Broker does not filter"),
    (lambda o: _trigger(o)["filter"].update(attributes={"type": ""}), "type: the RabbitMQ Broker takes an empty value"),
    (lambda o: _trigger(o)["filter"].update(attributes={"datacontenttype": "a/b"}), "cannot filter on datacontenttype"),
    (lambda o: _trigger(o)["subscriber"]["ref"].update(name="no"), "spec.subscriber.ref: there is no Service no"),
    (lambda o: _trigger(o)["subscriber"].update(uri="http://x"), "spec.subscriber.uri: String should match"),
    (lambda o: _trigger(o).pop("delivery"), "Trigger convert: spec.delivery: every Trigger needs its own"),
    (lambda o: _trigger(o)["delivery"].pop("deadLetterSink"), "spec.delivery.deadLetterSink: every Trigger needs its"),
    (lambda o: _trigger(o)["delivery"].pop("timeout"), "spec.delivery.timeout: is required: without it"),
    (lambda o: _trigger(o)["delivery"].update(backoffDelay="1s"), "spec.delivery.backoffDelay: is not an ISO 8601"),
    (
        lambda o: o["Trigger", "convert"]["metadata"].update(
            annotations={"rabbitmq.eventing.knative.dev/parallelism": "1001"}
        ),
        "metadata.annotations.rabbitmq.eventing.knative.dev/parallelism: Input should be less than or equal to 1000",
    ),
    (lambda o: o.pop(("Service", "convert")), "SinkBinding convert: spec.subject: there is no Service convert"),
    (lambda o: o["PingSource", "sweep"]["spec"].update(schedule="@hourly"), "PingSource sweep: spec.schedule: String"),
    (lambda o: o["PingSource", "sweep"]["metadata"].pop("namespace"), "metadata.namespace: must be 'audiolift'"),
    (lambda o: _rule(o, "convert.audiolift.example.com"), "Service convert is cluster-local"),
    (lambda o: _rule(o, "upload.other.example.com"), "is not the name of a Service, <name>.audiolift.<domain>"),
    (
        lambda o: o.update({("x", "y"): o["Namespace", "audiolift"]}),
        "Namespace audiolift: metadata.name: there are two",
    ),
    (
        lambda o: o.update({("x", "y"): {**o["HTTPRoute", "audiolift"], "metadata": _named("other")}}),
        "HTTPRoute other: spec.hostnames: local has one HTTPRoute",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), _REFUSED, ids=[sentence for _, sentence in _REFUSED])
def test_refused(change: Callable[[_Objects], Any], sentence: str, tmp_path: Path) -> None:
    objects = _objects()
    change(objects)
    path = _write(tmp_path / "all.yaml", objects)
    with pytest.raises(ManifestError) as caught:
        load([path])
    assert sentence in str(caught.value)
    assert all(line.startswith(f"{path}: ") for line in str(caught.value).splitlines())


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    objects = _objects()
    _trigger(objects)["filters"] = []
    _spec(objects)["dnsPolicy"] = "None"
    with pytest.raises(ManifestError) as caught:
        load([_write(tmp_path / "all.yaml", objects)])
    assert len(str(caught.value).splitlines()) == 2


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [")
    with pytest.raises(ManifestError, match=r"broken\.yaml: is not YAML"):
        load([path])


@pytest.mark.parametrize(("text", "seconds"), [("PT1S", 1), ("PT0.2S", 0.2), ("PT1H1M1S", 3661), ("PT10M", 600)])
def test_iso_duration(text: str, seconds: float) -> None:
    assert iso_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "PT", "P1D", "1S", "pt1s", "PT1S ", 1])
def test_no_iso_duration(text: object) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        iso_seconds(text)


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25)])
def test_go_duration(text: str, seconds: float) -> None:
    assert go_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "s", "1d", "60s ", 60])
def test_no_go_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        go_seconds(text)


@pytest.mark.parametrize(
    ("kind", "value", "path", "matches"),
    [
        ("Exact", "/login", "/login", True),
        ("Exact", "/login", "/login/", False),
        ("PathPrefix", "/token", "/token", True),
        ("PathPrefix", "/token", "/token/refresh", True),
        ("PathPrefix", "/token", "/tokens", False),
        ("PathPrefix", "/", "/anything", True),
    ],
)
def test_path_match(kind: str, value: str, path: str, matches: bool) -> None:
    assert PathMatch.model_validate({"type": kind, "value": value}).matches(path) is matches
