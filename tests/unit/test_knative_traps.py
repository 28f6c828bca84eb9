"""Where a manifest is valid and still wrong: the traps of Knative and its RabbitMQ Broker, in each of our overlays."""

import dataclasses
import importlib
import ipaddress
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from audiolift import addresses
from audiolift.events import AudioConverted, ConversionFailed, WebhookDue
from tests.manifests import KNATIVE, SERVING, Document, build
from upload_settings import UploadSettings

EXTERNAL = ("external-mysql", "external-mongodb", "external-rabbitmq")
OVERLAYS = [
    (),
    ("small",),
    ("production",),
    ("production", "monitoring"),
    ("production", *EXTERNAL),
    ("small", *EXTERNAL),
]
PARALLELISM = "rabbitmq.eventing.knative.dev/parallelism"
SCALE = "autoscaling.knative.dev/"
PRIVATE = {"convert", "notify"}
MONITORING = '{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}'
#: Off unless a cluster's administrator turns them on (knative/serving: config-features).
NOT_IN_KNATIVE = {
    "initContainers",
    "lifecycle",
    "fieldRef",
    "persistentVolumeClaim",
    "hostPath",
    "affinity",
    "nodeSelector",
}

each_overlay = pytest.mark.parametrize("components", OVERLAYS, ids=lambda components: "+".join(components) or "base")


def services(objects: list[Document]) -> dict[str, Document]:
    """The Knative Services by name."""
    return {one["metadata"]["name"]: one for one in objects if one["apiVersion"] == SERVING}


def of(objects: list[Document], kind: str) -> list[Document]:
    """All objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def pods(objects: list[Document]) -> Iterator[tuple[str, Document]]:
    """Each pod's spec, whatever makes the pod."""
    for one in objects:
        if "template" in one["spec"] if "spec" in one else False:
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def keys(part: Any) -> Iterator[str]:
    """All keys at any depth."""
    if isinstance(part, dict):
        yield from part
        for value in part.values():
            yield from keys(value)
    elif isinstance(part, list):
        for value in part:
            yield from keys(value)


def policy(objects: list[Document], name: str) -> Document:
    """A NetworkPolicy's spec."""
    (found,) = [one for one in of(objects, "NetworkPolicy") if one["metadata"]["name"] == name]
    spec: Document = found["spec"]
    return spec


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector means a pod with these labels."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return exact and all(
        (wanted["operator"] == "Exists" and wanted["key"] in labels)
        or labels.get(wanted["key"]) in wanted.get("values", [])
        for wanted in selector.get("matchExpressions", [])
    )


@each_overlay
def test_both_timeouts_are_set_and_within_what_a_cluster_allows(components: tuple[str, ...]) -> None:
    found = services(build(*components))
    assert len(found) == 4
    for name, service in found.items():
        spec = service["spec"]["template"]["spec"]
        # Left out, the second is 300 s for a Service that may take 600.
        assert 0 < spec["responseStartTimeoutSeconds"] <= spec["timeoutSeconds"] <= 600, name


@each_overlay
def test_a_trigger_has_its_own_retries_and_dead_letter_sink(components: tuple[str, ...]) -> None:
    triggers = of(build(*components), "Trigger")
    assert len(triggers) == 10
    for trigger in triggers:
        delivery = trigger["spec"]["delivery"]
        assert delivery["retry"] > 0 and delivery["backoffDelay"] and delivery["backoffPolicy"] == "exponential"
        sink = delivery["deadLetterSink"]
        assert (sink["ref"]["kind"], sink["ref"]["name"], sink["uri"]) == ("Service", "upload", "/dead-letters")


@each_overlay
def test_a_trigger_does_not_wait_longer_than_its_service_may_take(components: tuple[str, ...]) -> None:
    objects = build(*components)
    for trigger in of(objects, "Trigger"):
        service = services(objects)[trigger["spec"]["subscriber"]["ref"]["name"]]
        limit = service["spec"]["template"]["spec"]["timeoutSeconds"]
        # Sooner, and the event is delivered again beside the one that is still at work.
        assert trigger["spec"]["delivery"]["timeout"] == f"PT{limit}S"


@each_overlay
def test_filters_are_exact_and_on_the_type_of_an_event_that_is_sent(components: tuple[str, ...]) -> None:
    schemas = {path.stem for path in (KNATIVE.parent / "docs/events").glob("*.json")}
    triggers = of(build(*components), "Trigger")
    for trigger in triggers:
        assert "filters" not in trigger["spec"]
        assert list(trigger["spec"]["filter"]["attributes"]) == ["type"]
        assert trigger["spec"]["filter"]["attributes"]["type"] in schemas
    assert {trigger["spec"]["filter"]["attributes"]["type"] for trigger in triggers} == schemas


@each_overlay
def test_as_many_events_are_delivered_at_once_as_the_service_takes(components: tuple[str, ...]) -> None:
    objects = build(*components)
    at_once: dict[str, int] = defaultdict(int)
    for trigger in of(objects, "Trigger"):
        at_once[trigger["spec"]["subscriber"]["ref"]["name"]] += int(trigger["metadata"]["annotations"][PARALLELISM])
    assert at_once
    # People call it too.
    assert at_once.pop("upload") == 1
    for name, parallel in at_once.items():
        template = services(objects)[name]["spec"]["template"]
        replicas = int(template["metadata"]["annotations"][SCALE + "max-scale"])
        assert parallel == replicas * template["spec"]["containerConcurrency"], name


@each_overlay
def test_long_requests_leave_room_in_upload_for_what_is_short(components: tuple[str, ...]) -> None:
    template = services(build(*components))["upload"]["spec"]["template"]
    given = {env["name"].lower() for env in template["spec"]["containers"][0]["env"]}
    places: dict[str, Any] = {
        field.name: field.default for field in dataclasses.fields(UploadSettings) if field.name.endswith("_at_once")
    }
    assert len(places) == 3 and given.isdisjoint(places)
    assert sum(places.values()) + 32 <= template["spec"]["containerConcurrency"]
    # Knative takes 70 % of a target.
    assert int(template["metadata"]["annotations"][SCALE + "target"]) * 0.7 < places["uploads_at_once"]
    # In MB, what an upload takes among others (docs/adr/0039), and the chunks that lie ready for a download.
    limit = template["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert places["uploads_at_once"] * 28 + places["downloads_at_once"] * 8 < int(limit.removesuffix("Mi")) * 0.8


@each_overlay
def test_only_what_people_call_is_public(components: tuple[str, ...]) -> None:
    objects = build(*components)
    for name, service in services(objects).items():
        visibility = service["metadata"].get("labels", {}).get("networking.knative.dev/visibility")
        assert visibility == ("cluster-local" if name in PRIVATE else None), name
    rewritten = re.findall(r'"hostname": "([a-z]+)\.audiolift\.', json.dumps(of(objects, "HTTPRoute")))
    assert set(rewritten) == set(services(objects)) - PRIVATE


@each_overlay
def test_a_service_has_only_what_every_knative_allows_and_no_name_of_a_revision(components: tuple[str, ...]) -> None:
    for name, service in services(build(*components)).items():
        template = service["spec"]["template"]
        assert NOT_IN_KNATIVE.isdisjoint(keys(service)), name
        assert "securityContext" not in template["spec"], "a pod's own is a feature that is off"
        # A SinkBinding does not reach a revision with a given name (knative/eventing issue 4106).
        assert "name" not in template["metadata"]


def _needs_sink(function: str) -> bool:
    module = importlib.import_module(f"{function}_settings")
    classes = [kind for kind in vars(module).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    return any(field.name == "k_sink" for kind in classes for field in dataclasses.fields(kind))


@each_overlay
def test_who_needs_k_sink_has_a_sinkbinding_that_comes_before_it(components: tuple[str, ...]) -> None:
    objects = build(*components)
    order = [(one["kind"], one["metadata"]["name"]) for one in objects if one["metadata"]["name"] != "mysql"]
    bound = {one["spec"]["subject"]["name"] for one in of(objects, "SinkBinding")}
    assert bound == {name for name in services(objects) if _needs_sink(name)}
    for name in bound:
        assert order.index(("SinkBinding", name)) < order.index(("Service", name))
        assert order.index(("Broker", "default")) < order.index(("SinkBinding", name))
    assert order[0] == ("Namespace", "audiolift")


@each_overlay
def test_images_are_named_without_a_registry(components: tuple[str, ...]) -> None:
    images = [container["image"] for _, pod in pods(build(*components)) for container in pod["containers"]]
    assert len(images) == 7 - len({"external-mysql", "external-mongodb"}.intersection(components))
    assert [image for image in images if "/" in image] == []


def test_no_secret_is_committed() -> None:
    texts = {path: path.read_text() for path in KNATIVE.rglob("*.yaml")}
    assert len(texts) > 15
    for path, text in texts.items():
        assert not re.search(r"^kind: Secret$|stringData|secretGenerator|BEGIN .*PRIVATE KEY", text, re.MULTILINE), path
        assert not re.search(r"[a-z+]+://[^/\s]+:[^/\s]+@", text), f"{path}: a password in an address"


@each_overlay
def test_every_container_is_hardened(components: tuple[str, ...]) -> None:
    for name, pod in pods(build(*components)):
        for container in pod["containers"]:
            # What Kubernetes calls restricted, and a root file system that nothing can be written to.
            context = pod.get("securityContext", {}) | container["securityContext"]
            assert context["runAsNonRoot"] is True, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name


@each_overlay
def test_no_pod_holds_a_token_of_kubernetes(components: tuple[str, ...]) -> None:
    objects = build(*components)
    (account,) = of(objects, "ServiceAccount")
    assert account["metadata"]["name"] == "default" and account["automountServiceAccountToken"] is False
    assert all("serviceAccountName" not in pod for _, pod in pods(objects))


@each_overlay
def test_every_container_has_requests_and_limits(components: tuple[str, ...]) -> None:
    objects = build(*components)
    resources = [container["resources"] for _, pod in pods(objects) for container in pod["containers"]]
    resources += [one["spec"]["resources"] for one in of(objects, "RabbitmqCluster")]
    assert len(resources) == 8 - len(set(EXTERNAL).intersection(components))
    for bounds in resources:
        assert {"cpu", "memory"} <= bounds["requests"].keys() & bounds["limits"].keys()


@each_overlay
def test_what_serves_is_probed(components: tuple[str, ...]) -> None:
    for name, pod in pods(build(*components)):
        if name != "prepare-mongodb":
            assert all({"readinessProbe", "livenessProbe"} <= container.keys() for container in pod["containers"]), name


@each_overlay
def test_nothing_is_reached_unless_a_policy_says_so(components: tuple[str, ...]) -> None:
    deny = policy(build(*components), "deny")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _reached(objects: list[Document], labels: dict[str, str], way: str) -> list[str]:
    """Who pods with these labels may reach (`to`), or be reached by (`from`), and on which ports."""
    rules = [
        rule
        for one in of(objects, "NetworkPolicy")
        if selects(one["spec"]["podSelector"], labels)
        for rule in one["spec"].get("egress" if way == "to" else "ingress", [])
    ]
    return sorted(
        f"{json.dumps(peer, sort_keys=True)} {[port['port'] for port in rule['ports']]}"
        for rule in rules
        for peer in rule.get(way, ["anywhere"])
    )


def _pods(label: str, value: str, *, namespace: str = "") -> str:
    peer: Document = {"podSelector": {"matchLabels": {label: value}}}
    if namespace:
        peer["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return json.dumps(peer, sort_keys=True)


@each_overlay
def test_convert_reaches_mongodb_the_broker_and_names_only(components: tuple[str, ...]) -> None:
    objects = build(*components)
    labels = {"serving.knative.dev/service": "convert"}
    mongodb = '"anywhere"' if "external-mongodb" in components else _pods("app.kubernetes.io/name", "mongodb")
    to = [
        f"{mongodb} [27017]",
        f"{_pods('eventing.knative.dev/brokerRole', 'ingress')} [8080]",
        f"{_pods('k8s-app', 'kube-dns', namespace='kube-system')} [53, 53]",
    ]
    by = [
        f"{_pods('app', '3scale-kourier-gateway', namespace='kourier-system')} [8012, 8013, 8112]",
        f"{_pods('app', 'activator', namespace='knative-serving')} [8012, 8013, 8112]",
        f"{_pods('app', 'autoscaler', namespace='knative-serving')} [9090]",
    ]
    if "monitoring" in components:
        to.append(f"{MONITORING} [4318]")
        by.append(f"{MONITORING} [8080]")
    assert _reached(objects, labels, "to") == sorted(to)
    assert _reached(objects, labels, "from") == sorted(by)


@each_overlay
def test_webhooks_reach_the_internet_and_nothing_that_is_in_the_cluster(components: tuple[str, ...]) -> None:
    (rule,) = policy(build(*components), "notify-to-internet")["egress"]
    assert tuple(port["port"] for port in rule["ports"]) == addresses.PORTS

    def open_to(text: str) -> bool:
        address = ipaddress.ip_address(text)
        blocks = [peer["ipBlock"] for peer in rule["to"]]
        return any(
            address in ipaddress.ip_network(block["cidr"])
            and not any(address in ipaddress.ip_network(one) for one in block.get("except", []))
            for block in blocks
        )

    assert all(open_to(address) for address in ("1.1.1.1", "2606:4700::1111"))
    inside = (
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.0.1",
        "192.168.0.1",
        "fd00::1",
        "fe80::1",
    )
    assert not any(open_to(address) for address in inside)


@each_overlay
def test_a_mail_that_is_sent_again_calls_no_webhook_again(components: tuple[str, ...]) -> None:
    paths = defaultdict(set)
    for trigger in of(build(*components), "Trigger"):
        subscriber = trigger["spec"]["subscriber"]
        if subscriber["ref"]["name"] == "notify":
            paths[trigger["spec"]["filter"]["attributes"]["type"]].add(subscriber.get("uri"))
    ended = {None, "/webhooks"}
    assert paths == {
        AudioConverted.type: ended,
        ConversionFailed.type: ended,
        WebhookDue.type: {"/webhooks"},
    }


def test_who_may_send_is_let_in_and_who_is_let_in_may_send() -> None:
    objects = build()
    label = "serving.knative.dev/service"
    servers = {"app.kubernetes.io/name": ("mysql", "mongodb")}
    users = [{label: name} for name in services(objects)] + [{"app.kubernetes.io/name": "prepare-mongodb"}]
    for key, names in servers.items():
        for name in names:
            allowed = policy(objects, name)["ingress"][0]["from"]
            for user in users:
                sends = any(line.startswith(_pods(key, name)) for line in _reached(objects, user, "to"))
                assert sends is any(selects(peer["podSelector"], user) for peer in allowed), (name, user)


@pytest.mark.parametrize("part", ["mysql", "mongodb", "rabbitmq"])
def test_a_server_can_be_left_out_and_another_reached(part: str) -> None:
    objects = build(f"external-{part}")
    assert [one["kind"] for one in objects if one["metadata"]["name"] == part] == []
    clients = {"mysql": ["auth-to-mysql"], "rabbitmq": ["broker-to-rabbitmq"]}
    for name in clients.get(part, ["functions-to-mongodb", "prepare-to-mongodb"]):
        (rule,) = policy(objects, name)["egress"]
        assert list(rule) == ["ports"]


def test_a_budget_never_forbids_every_drain() -> None:
    for components in OVERLAYS:
        objects = build(*components)
        for budget in of(objects, "PodDisruptionBudget"):
            labels = budget["spec"]["selector"]["matchLabels"]
            if name := labels.get("serving.knative.dev/service"):
                least = services(objects)[name]["spec"]["template"]["metadata"]["annotations"][SCALE + "min-scale"]
                assert int(least) > budget["spec"]["minAvailable"]
            else:
                (cluster,) = of(objects, "RabbitmqCluster")
                assert cluster["spec"]["replicas"] >= 3
