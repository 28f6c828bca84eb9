"""The kinds of Knative Eventing: RabbitmqBrokerConfig, Broker, Trigger, SinkBinding, PingSource."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from local.kinds.common import IsoSeconds, Metadata, Model, Name, Object, UrlPath, whole_number


class ClusterRef(Model):
    """Accepted only: local has one RabbitMQ."""

    name: Name
    namespace: Name


class BrokerConfigSpec(Model):
    """How a Broker's queues are made."""

    queue_type: Literal["quorum"]
    rabbitmq_cluster_reference: ClusterRef


class RabbitmqBrokerConfig(Object):
    """The settings that a Broker names."""

    api_version: Literal["eventing.knative.dev/v1alpha1"]
    kind: Literal["RabbitmqBrokerConfig"]
    spec: BrokerConfigSpec


class BrokerAnnotations(Model):
    """Which implementation makes the Broker."""

    broker_class: Annotated[Literal["RabbitMQBroker"], Field(alias="eventing.knative.dev/broker.class")]


class BrokerMetadata(Metadata):
    """A Broker's name, place and class."""

    annotations: BrokerAnnotations


class BrokerConfigRef(Model):
    """The RabbitmqBrokerConfig of a Broker."""

    api_version: Literal["eventing.knative.dev/v1alpha1"]
    kind: Literal["RabbitmqBrokerConfig"]
    name: Name


class BrokerSpec(Model):
    """Without a delivery: every Trigger has its own, which replaces the Broker's whole."""

    config: BrokerConfigRef


class Broker(Object):
    """An exchange in RabbitMQ with an HTTP ingress."""

    api_version: Literal["eventing.knative.dev/v1"]
    kind: Literal["Broker"]
    metadata: BrokerMetadata
    spec: BrokerSpec


class ServiceRef(Model):
    """A Service in the same namespace."""

    api_version: Literal["serving.knative.dev/v1"]
    kind: Literal["Service"]
    name: Name


class BrokerRef(Model):
    """A Broker in the same namespace."""

    api_version: Literal["eventing.knative.dev/v1"]
    kind: Literal["Broker"]
    name: Name


class ServiceDestination(Model):
    """A path of a Service."""

    ref: ServiceRef
    uri: UrlPath = "/"


class BrokerDestination(Model):
    """A Broker's ingress."""

    ref: BrokerRef


def _exact(attributes: dict[str, str]) -> dict[str, str]:
    for name, value in attributes.items():
        if not re.fullmatch("[a-z0-9]{1,20}", name):
            raise ValueError(f"{name!r} is no name of a CloudEvents attribute")
        if name == "datacontenttype":
            raise ValueError("the RabbitMQ Broker cannot filter on datacontenttype: it is no header of the message")
        if not value:
            raise ValueError(f"{name}: the RabbitMQ Broker takes an empty value as an exact one, which nothing has")
    return attributes


class Filter(Model):
    """Attributes that an event must have, all of them, exactly."""

    attributes: Annotated[dict[str, str], AfterValidator(_exact)]


class Delivery(Model):
    """How often and how long a Trigger tries, and who gets what it could not deliver."""

    retry: Annotated[int, Field(ge=0, le=1000)] = 5
    backoff_policy: Literal["linear", "exponential"] = "exponential"
    backoff_delay: IsoSeconds = 0.2
    timeout: Annotated[IsoSeconds, Field(gt=0)]
    dead_letter_sink: ServiceDestination


class TriggerAnnotations(Model):
    """How many events a Trigger delivers at a time; at 1 they stay in order and a retry holds up all behind it."""

    parallelism: Annotated[
        int,
        BeforeValidator(whole_number),
        Field(alias="rabbitmq.eventing.knative.dev/parallelism", ge=1, le=1000),
    ] = 1


class TriggerMetadata(Metadata):
    """A Trigger's name, place and parallelism."""

    annotations: TriggerAnnotations = TriggerAnnotations()


class TriggerSpec(Model):
    """Which events go where."""

    broker: Name
    filter: Filter = Filter(attributes={})
    subscriber: ServiceDestination
    delivery: Delivery


class Trigger(Object):
    """A queue in RabbitMQ and who gets what is in it."""

    api_version: Literal["eventing.knative.dev/v1"]
    kind: Literal["Trigger"]
    metadata: TriggerMetadata
    spec: TriggerSpec


class SinkBindingSpec(Model):
    """Who gets K_SINK, and its value."""

    subject: ServiceRef
    sink: BrokerDestination


class SinkBinding(Object):
    """Puts a Broker's address into a Service's environment as K_SINK."""

    api_version: Literal["sources.knative.dev/v1"]
    kind: Literal["SinkBinding"]
    spec: SinkBindingSpec


class PingSourceSpec(Model):
    """What is sent where, and when: five cron fields, in UTC."""

    schedule: Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]
    content_type: str
    data: str
    sink: ServiceDestination


class PingSource(Object):
    """An event at times."""

    api_version: Literal["sources.knative.dev/v1"]
    kind: Literal["PingSource"]
    spec: PingSourceSpec
