"""Schemas of kinds that no package has one for: the fields that we use, written from the published CRDs, closed.

RabbitmqCluster: rabbitmq/cluster-operator, `rabbitmq.com_rabbitmqclusters.yaml`. RabbitmqBrokerConfig:
knative-extensions/eventing-rabbitmq, `300-rabbitmqbrokerconfig.yaml`. PodMonitor, PrometheusRule:
prometheus-operator/prometheus-operator, `monitoring.coreos.com_*.yaml`. The rest:
kubernetes-sigs/gateway-api, standard.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti)?$"}
HOSTNAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}


def closed(*, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object with these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def many(item: Schema, **bounds: int) -> Schema:
    """A list."""
    return {"type": "array", "items": item, **bounds}


def one_of(*values: Any) -> Schema:
    """One of these values."""
    return {"enum": list(values)}


def _object(api_version: str, kind: str, spec: Schema) -> Schema:
    return closed(
        required=("apiVersion", "kind", "metadata", "spec"),
        apiVersion=one_of(api_version),
        kind=one_of(kind),
        metadata=closed(required=("name", "namespace"), name=TEXT, namespace=TEXT),
        spec=spec,
    )


_RESOURCES = closed(cpu=QUANTITY, memory=QUANTITY)
_REPLICAS: Schema = {"type": "integer", "minimum": 0}
_AFFINITY_TERM = closed(
    required=("topologyKey",),
    topologyKey=TEXT,
    labelSelector=closed(matchLabels={"type": "object", "additionalProperties": TEXT}),
)
_WEIGHTED_TERM = closed(
    required=("weight", "podAffinityTerm"),
    weight={"type": "integer", "minimum": 1, "maximum": 100},
    podAffinityTerm=_AFFINITY_TERM,
)
RABBITMQ_CLUSTER = _object(
    "rabbitmq.com/v1beta1",
    "RabbitmqCluster",
    closed(
        replicas=_REPLICAS,
        persistence=closed(storage=QUANTITY, storageClassName=TEXT),
        resources=closed(requests=_RESOURCES, limits=_RESOURCES),
        rabbitmq=closed(additionalConfig={"type": "string", "maxLength": 2000}, additionalPlugins=many(TEXT)),
        affinity=closed(
            podAntiAffinity=closed(
                preferredDuringSchedulingIgnoredDuringExecution=many(_WEIGHTED_TERM),
                requiredDuringSchedulingIgnoredDuringExecution=many(_AFFINITY_TERM),
            )
        ),
    ),
)

_BROKER_CLUSTER = closed(name=TEXT, namespace=TEXT, connectionSecret=closed(name=TEXT))
RABBITMQ_BROKER_CONFIG = _object(
    "eventing.knative.dev/v1alpha1",
    "RabbitmqBrokerConfig",
    closed(
        required=("rabbitmqClusterReference",),
        queueType=one_of("quorum", "classic"),
        vhost=TEXT,
        # Its webhook wants either the cluster's name or the Secret of another server.
        rabbitmqClusterReference=_BROKER_CLUSTER
        | {"oneOf": [{"required": ["name"]}, {"required": ["connectionSecret"]}]},
    ),
)

_FROM: Schema = {"type": "object", "properties": {"from": one_of("All", "Same")}, "additionalProperties": False}
_LISTENER = closed(
    required=("name", "port", "protocol"),
    name=TEXT,
    port=PORT,
    protocol=one_of("HTTP", "HTTPS"),
    hostname=HOSTNAME,
    tls=closed(
        mode=one_of("Terminate"), certificateRefs=many(closed(required=("name",), name=TEXT), minItems=1, maxItems=64)
    ),
    allowedRoutes=closed(namespaces=_FROM),
)
GATEWAY = _object(
    "gateway.networking.k8s.io/v1",
    "Gateway",
    closed(
        required=("gatewayClassName", "listeners"),
        gatewayClassName=TEXT,
        listeners=many(_LISTENER, minItems=1, maxItems=64),
    ),
)

_PATH = closed(type=one_of("Exact", "PathPrefix"), value={"type": "string", "pattern": "^/"})
_FILTER: Schema = {
    "oneOf": [
        closed(
            required=("type", "urlRewrite"),
            type=one_of("URLRewrite"),
            urlRewrite=closed(hostname=HOSTNAME),
        ),
        closed(
            required=("type", "requestRedirect"),
            type=one_of("RequestRedirect"),
            requestRedirect=closed(scheme=one_of("http", "https"), statusCode=one_of(301, 302)),
        ),
    ]
}
_RULE = closed(
    matches=many(closed(path=_PATH), maxItems=64),
    filters=many(_FILTER, maxItems=16),
    timeouts=closed(request=DURATION),
    backendRefs=many(closed(required=("name", "port"), name=TEXT, namespace=TEXT, port=PORT), maxItems=16),
)
HTTP_ROUTE = _object(
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    closed(
        parentRefs=many(closed(required=("name",), name=TEXT, namespace=TEXT, sectionName=TEXT), maxItems=32),
        hostnames=many(HOSTNAME, maxItems=16),
        rules=many(_RULE, maxItems=16),
    ),
)

REFERENCE_GRANT = _object(
    "gateway.networking.k8s.io/v1beta1",
    "ReferenceGrant",
    closed(
        required=("from", "to"),
        **{
            "from": many(
                closed(required=("group", "kind", "namespace"), group=TEXT, kind=TEXT, namespace=TEXT), minItems=1
            ),
            "to": many(closed(required=("group", "kind"), group={"type": "string"}, kind=TEXT, name=TEXT), minItems=1),
        },
    ),
)

_LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
_PROMETHEUS_DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
_MATCH = closed(required=("key", "operator"), key=TEXT, operator=one_of("Exists", "DoesNotExist"))
POD_MONITOR = _object(
    "monitoring.coreos.com/v1",
    "PodMonitor",
    closed(
        required=("selector",),
        selector=closed(matchLabels=_LABELS, matchExpressions=many(_MATCH)),
        podMetricsEndpoints=many(
            closed(
                port=TEXT,
                path={"type": "string", "pattern": "^/"},
                interval=_PROMETHEUS_DURATION,
                relabelings=many(closed(sourceLabels=many(TEXT), targetLabel=TEXT)),
            )
        ),
    ),
)
_ALERT = closed(required=("alert", "expr"), alert=TEXT, expr=TEXT, labels=_LABELS, **{"for": _PROMETHEUS_DURATION})
PROMETHEUS_RULE = _object(
    "monitoring.coreos.com/v1",
    "PrometheusRule",
    closed(groups=many(closed(required=("name",), name=TEXT, rules=many(_ALERT)))),
)
